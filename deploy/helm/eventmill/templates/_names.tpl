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
  terminationGracePeriodSeconds: 20
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
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
      startupProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 1
        failureThreshold: 60
      # A gateway whose database is away is not ready, and must not be restarted for it.
      livenessProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 10
      readinessProbe:
        httpGet: {path: /readyz, port: http}
        periodSeconds: 2
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
  volumes:
    - {name: tmp, emptyDir: {}}
    {{- if .Values.postgres.existingSecret }}
    - {name: data, emptyDir: {}}
    {{- end }}
    {{- with .Values.bootstrap.existingSecret }}
    - name: bootstrap
      secret: {secretName: {{ . | quote }}}
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
