{{- define "eventmill.name" -}}
{{- if contains "eventmill" .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-eventmill" .Release.Name | trunc 52 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "eventmill.selector" -}}
app.kubernetes.io/name: eventmill
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "eventmill.labels" -}}
{{ include "eventmill.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "eventmill.pod" -}}
metadata:
  labels: {{- include "eventmill.labels" . | nindent 4 }}
  {{- with .Values.podAnnotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  # Kubernetes would set EVENTMILL_PORT to an address for a service of that name.
  enableServiceLinks: false
  automountServiceAccountToken: false
  # Three seconds of preStop, and the gateway ends itself within 15 seconds of SIGTERM.
  terminationGracePeriodSeconds: 25
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  containers:
    - name: eventmill
      image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        - serve
        {{- if .Values.bootstrap.existingSecret }}
        - --bootstrap=/etc/eventmill/tenants.json
        {{- end }}
      env:
        - {name: EVENTMILL_HOST, value: "0.0.0.0"}
        - {name: EVENTMILL_LOG_FORMAT, value: json}
        {{- with .Values.baseUrl }}
        - {name: EVENTMILL_BASE_URL, value: {{ . | quote }}}
        {{- end }}
        {{- with .Values.postgres.existingSecret }}
        - name: EVENTMILL_STORE
          valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: url}}
        {{- end }}
        {{- with .Values.sealKey.existingSecret }}
        - name: EVENTMILL_SEAL_KEY
          valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: key}}
        {{- end }}
        {{- range $name, $value := .Values.settings }}
        - {name: {{ $name }}, value: {{ $value | quote }}}
        {{- end }}
      {{- with .Values.settingsFromSecret }}
      envFrom:
        - secretRef: {name: {{ . | quote }}}
      {{- end }}
      ports:
        - {name: http, containerPort: 8080}
      # Reading what a crash left, or a step of a new schema, may take minutes; a kill would begin it anew.
      startupProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 1
        failureThreshold: 900
      # A gateway whose database is away is not ready, and must not be restarted for it.
      livenessProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 10
        timeoutSeconds: 5
      readinessProbe:
        httpGet: {path: /readyz, port: http}
        periodSeconds: 2
        timeoutSeconds: 2
      # Until no proxy sends requests here any more: they would be answered 503.
      lifecycle:
        preStop: {exec: {command: [sleep, "3"]}}
      resources: {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      volumeMounts:
        - {name: data, mountPath: /var/lib/eventmill}
        - {name: tmp, mountPath: /tmp}
        {{- if .Values.bootstrap.existingSecret }}
        - {name: bootstrap, mountPath: /etc/eventmill, readOnly: true}
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - {name: tmp, emptyDir: {}}
    {{- if .Values.postgres.existingSecret }}
    - {name: data, emptyDir: {}}
    {{- end }}
    {{- with .Values.bootstrap.existingSecret }}
    - name: bootstrap
      secret: {secretName: {{ . | quote }}}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- if gt (int .Values.nodes) 1 }}
  # Nodes on one machine fall together.
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- include "eventmill.selector" . | nindent 10 }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
