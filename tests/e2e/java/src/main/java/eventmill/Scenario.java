package eventmill;

import com.adobe.aio.auth.JwtContext;
import com.adobe.aio.auth.OAuthContext;
import com.adobe.aio.event.webhook.service.EventVerifier;
import com.adobe.aio.feign.AIOHeaderInterceptor;
import com.adobe.aio.ims.ImsService;
import com.adobe.aio.ims.feign.AuthInterceptor;
import com.adobe.event.journal.JournalService;
import com.adobe.event.journal.model.Event;
import com.adobe.event.journal.model.JournalEntry;
import com.adobe.event.management.ProviderService;
import com.adobe.event.management.model.EventMetadata;
import com.adobe.event.management.model.Provider;
import com.adobe.event.management.model.ProviderInputModel;
import com.adobe.event.publish.PublishService;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import feign.FeignException;
import feign.RequestInterceptor;
import java.lang.reflect.Constructor;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * A day with the official Java SDK, told as one JSON object on standard output. Reads from the environment what
 * {@code eventmill env} exports, PROVIDER_ID, EVENT_CODE and JOURNAL_URL of a registration, and JWT_* of a credential
 * of the deprecated kind; from standard input a single delivery and a batch, each as {"body", "headers"}. Without the
 * URLs it talks to Adobe's hosts. Asserts nothing: test_java_sdk.py does.
 */
public final class Scenario {

  private static final ObjectMapper JSON = new ObjectMapper();
  private static final Map<String, String> ENV = System.getenv();

  private final Recorder recorder = new Recorder();
  private final Map<String, Object> story = new LinkedHashMap<>();
  private final com.adobe.aio.workspace.Workspace identity = com.adobe.aio.workspace.Workspace.builder()
      .imsUrl(ENV.get("IMS_URL"))
      .imsOrgId(ENV.get("IMS_ORG_ID"))
      .apiKey(ENV.get("CLIENT_ID"))
      .consumerOrgId(ENV.get("CONSUMER_ORG_ID"))
      .projectId(ENV.get("PROJECT_ID"))
      .workspaceId(ENV.get("WORKSPACE_ID"))
      .authContext(OAuthContext.builder().clientSecret(ENV.get("CLIENT_SECRET")).addScope("adobeio_api").build())
      .build();
  private final com.adobe.Workspace workspace = com.adobe.Workspace.builder()
      .imsOrgId(ENV.get("IMS_ORG_ID"))
      .apiKey(ENV.get("CLIENT_ID"))
      .consumerOrgId(ENV.get("CONSUMER_ORG_ID"))
      .projectId(ENV.get("PROJECT_ID"))
      .workspaceId(ENV.get("WORKSPACE_ID"))
      .credentialId(ENV.get("CREDENTIAL_ID"))
      .build();

  public static void main(String[] arguments) throws Exception {
    Scenario scenario = new Scenario();
    scenario.fetchToken();
    scenario.manageProviders();
    scenario.publishAndRead();
    scenario.verify(JSON.readTree(System.in));
    scenario.story.put("outcomes", scenario.recorder.outcomes);
    scenario.story.put("uncalled", scenario.recorder.uncalled());
    System.out.println(JSON.writeValueAsString(scenario.story));
  }

  private void fetchToken() throws Exception {
    ImsService ims = recorder.record(ImsService.class, ImsService.builder().workspace(identity).build());
    story.put("token", ims.getOAuthAccessToken().getAccessToken());

    PrivateKey key = KeyFactory.getInstance("RSA")
        .generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(ENV.get("JWT_PRIVATE_KEY"))));
    ImsService deprecated = recorder.record(ImsService.class, ImsService.builder()
        .workspace(com.adobe.aio.workspace.Workspace.builder()
            .imsUrl(ENV.get("IMS_URL"))
            .imsOrgId(ENV.get("IMS_ORG_ID"))
            .apiKey(ENV.get("JWT_CLIENT_ID"))
            .consumerOrgId(ENV.get("CONSUMER_ORG_ID"))
            .projectId(ENV.get("PROJECT_ID"))
            .workspaceId(ENV.get("WORKSPACE_ID"))
            .authContext(JwtContext.builder()
                .clientSecret(ENV.get("JWT_CLIENT_SECRET"))
                .credentialId(ENV.get("JWT_CREDENTIAL_ID"))
                .technicalAccountId(ENV.get("JWT_ACCOUNT_ID"))
                .addMetascope("/s/ent_adobeio_sdk")
                .privateKey(key)
                .build())
            .build())
        .build());
    String exchanged = deprecated.getJwtExchangeAccessToken().getAccessToken();
    story.put("exchanged", exchanged);
    story.put("exchangedIsValid", deprecated.validateAccessToken(exchanged));
    story.put("otherIsValid", deprecated.validateAccessToken(exchanged + "x"));
  }

  /** The token that the SDK fetches by itself, and the headers that it sends with it. */
  private RequestInterceptor authentication() {
    RequestInterceptor token = AuthInterceptor.builder().workspace(identity).build();
    RequestInterceptor headers = AIOHeaderInterceptor.builder().workspace(identity).build();
    return request -> {
      token.apply(request);
      headers.apply(request);
    };
  }

  private void manageProviders() {
    ProviderService service = recorder.record(ProviderService.class, ProviderService.builder()
        .authInterceptor(authentication()).workspace(workspace).url(ENV.get("API_URL")).build());
    story.put("providersBefore", ids(service.getProviders()));
    Provider created = service.createProvider(input("Java warehouse")).orElseThrow();
    String id = created.getId();
    story.put("created", describe(created));
    story.put("conflict", statusOf(() -> service.createProvider(input("Java warehouse"))));
    story.put("updated", describe(service.updateProvider(id, input("Java store")).orElseThrow()));

    EventMetadata metadata = EventMetadata.builder().eventCode("com.acme.java").label("From Java")
        .description("Made by Java").sampleEventTemplate("eyJza3UiOiJBMSJ9").build();
    EventMetadata renamed = EventMetadata.builder().eventCode("com.acme.java").label("Renamed")
        .description("Made by Java").build();
    service.createEventMetadata(id, metadata).orElseThrow();
    story.put("metadataUpdated", service.updateEventMetadata(id, renamed).orElseThrow().getLabel());
    story.put("metadata", service.getEventMetadata(id, "com.acme.java").orElseThrow().getLabel());
    story.put("metadataCodes", service.getEventMetadata(id).stream().map(EventMetadata::getEventCode).toList());
    Provider found = service.findProviderById(id).orElseThrow();
    story.put("found", describe(found));
    story.put("foundCodes", found.getEventMetadata().stream().map(EventMetadata::getEventCode).toList());
    // Not with an instance that there is: this release of the SDK looks at the second of the one provider found.
    story.put("foundByOtherInstance",
        service.findProviderBy("3rd_party_custom_events", "no-such-instance").isPresent());
    story.put("providers", ids(service.getProviders()));

    service.deleteEventMetadata(id, "com.acme.java");
    story.put("metadataGone", service.getEventMetadata(id, "com.acme.java").isEmpty());
    service.createEventMetadata(id, metadata).orElseThrow();
    service.deleteAllEventMetadata(id);
    story.put("metadataLeft", service.getEventMetadata(id).size());
    service.deleteProvider(id);
    story.put("gone", service.findProviderById(id).isEmpty());
    story.put("unknown", service.findProviderById("this_id_should_not_exist").isEmpty());
  }

  private void publishAndRead() throws Exception {
    String provider = ENV.get("PROVIDER_ID");
    String code = ENV.get("EVENT_CODE");
    PublishService publisher = recorder.record(PublishService.class, PublishService.builder()
        .authInterceptor(authentication()).url(ENV.get("INGRESS_URL")).build());
    JournalService journal = recorder.record(JournalService.class, JournalService.builder()
        .authInterceptor(authentication()).workspace(workspace).url(ENV.get("JOURNAL_URL")).build());

    JournalEntry idle = journal.getLatest();
    story.put("idle", Map.of("size", idle.size(), "retryAfterS", idle.getRetryAfterInSeconds(),
        "links", new TreeMap<>(idle.getLinks()).keySet()));
    publisher.publishCloudEvent(provider, code, "java-1", "{\"sku\":\"A1\"}");
    publisher.publishCloudEvent(provider, code, "java-2", JSON.readTree("{\"sku\":\"A2\"}"));
    publisher.publishCloudEvent(provider, code, "{\"sku\":\"A3\"}");
    publisher.publishRawEvent(provider, code, "raw");
    story.put("publishedToUnknown", statusOf(() -> publisher.publishRawEvent("no-such-provider", code, "{}")));

    List<String> read = new ArrayList<>();
    for (JournalEntry page = journal.get(idle.getNextLink()); !page.isEmpty(); page = journal.get(page.getNextLink())) {
      page.getEvents().forEach(entry -> read.add(data(entry)));
    }
    story.put("read", read);
    JournalEntry oldest = journal.getOldest();
    String first = oldest.getEvents().get(0).getPosition();
    story.put("oldest", oldest.getEvents().stream().map(Scenario::data).toList());
    story.put("since", journal.getSince(first).getEvents().stream().map(Scenario::data).toList());
    story.put("sinceOne", journal.getSince(first, 1).getEvents().stream().map(Scenario::data).toList());
    story.put("badPosition", statusOf(() -> journal.getSince("nowhere")));
  }

  private void verify(JsonNode deliveries) throws Exception {
    EventVerifier verifier = verifier(ENV.get("KEYS_URL"));
    String clientId = ENV.get("CLIENT_ID");
    String body = deliveries.get("single").get("body").asText();
    Map<String, String> headers = headers(deliveries.get("single"));
    String batch = deliveries.get("batch").get("body").asText();
    Map<String, String> badSignatures = new TreeMap<>(headers);
    badSignatures.put("x-adobe-digital-signature-1", headers.get("x-adobe-digital-signature-2"));
    badSignatures.put("x-adobe-digital-signature-2", headers.get("x-adobe-digital-signature-1"));
    Map<String, String> oneSignature = new TreeMap<>(headers);
    oneSignature.put("x-adobe-digital-signature-1", headers.get("x-adobe-digital-signature-2"));
    recorder.outcomes.put("EventVerifier", Map.of("EventVerifier.verify", Set.of("works")));
    story.put("verdicts", Map.of(
        "intact", verifier.verify(body, clientId, headers),
        "batch", verifier.verify(batch, clientId, headers(deliveries.get("batch"))),
        "onlySecondGood", verifier.verify(body, clientId, oneSignature),
        "byteChanged", verifier.verify(body.replace("A1", "A2"), clientId, headers),
        "signaturesSwapped", verifier.verify(body, clientId, badSignatures),
        "otherRecipient", verifier.verify(body, "somebody-else", headers)));
  }

  /** The public constructor knows Adobe's key host only; the other one is what the SDK's own tests use. */
  private static EventVerifier verifier(String keysUrl) throws Exception {
    if (keysUrl == null) {
      return new EventVerifier();
    }
    Constructor<EventVerifier> constructor = EventVerifier.class.getDeclaredConstructor(String.class);
    constructor.setAccessible(true);
    return constructor.newInstance(keysUrl);
  }

  private static Map<String, String> headers(JsonNode delivery) {
    Map<String, String> headers = new TreeMap<>();
    delivery.get("headers").fields()
        .forEachRemaining(header -> headers.put(header.getKey(), header.getValue().asText()));
    return headers;
  }

  private static ProviderInputModel input(String label) {
    return ProviderInputModel.builder().label(label).description("Stock moves").docsUrl("https://docs.example/stock")
        .build();
  }

  private static List<String> ids(List<Provider> providers) {
    return providers.stream().map(Provider::getId).toList();
  }

  private static Map<String, String> describe(Provider provider) {
    return Map.of("id", provider.getId(), "label", provider.getLabel(), "description", provider.getDescription(),
        "source", provider.getSource(), "docsUrl", provider.getDocsUrl(), "publisher", provider.getPublisher());
  }

  /** What was published, whatever its shape; this release sends a raw event as a JSON string. */
  private static String data(Event entry) {
    JsonNode data = entry.getEvent().get("data");
    return data.isTextual() ? data.asText() : data.get("sku").asText();
  }

  /** The HTTP status of a call that is refused; 0 when it is not. */
  private static int statusOf(Runnable call) {
    try {
      call.run();
      return 0;
    } catch (FeignException refused) {
      return refused.status();
    }
  }
}
