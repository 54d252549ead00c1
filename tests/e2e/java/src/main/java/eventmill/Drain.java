package eventmill;

import com.adobe.aio.auth.OAuthContext;
import com.adobe.aio.feign.AIOHeaderInterceptor;
import com.adobe.aio.ims.feign.AuthInterceptor;
import com.adobe.event.journal.JournalService;
import com.adobe.event.journal.model.Event;
import com.adobe.event.journal.model.JournalEntry;
import com.fasterxml.jackson.databind.ObjectMapper;
import feign.RequestInterceptor;
import java.util.Map;

/**
 * Reads the journal at JOURNAL_URL to its end with the official SDK's journal service, and says as one JSON object on
 * standard output how many events it had, in what order of their numbers. Asserts nothing: test_java_sdk.py does.
 */
public final class Drain {

  private static final Map<String, String> ENV = System.getenv();

  private int read = 0;
  private int unordered = 0;
  private int first = -1;
  private int last = -1;

  public static void main(String[] arguments) throws Exception {
    Drain drain = new Drain();
    drain.run();
    Map<String, Integer> story =
        Map.of("read", drain.read, "unordered", drain.unordered, "first", drain.first, "last", drain.last);
    System.out.println(new ObjectMapper().writeValueAsString(story));
  }

  private void run() {
    JournalService journal = service();
    for (JournalEntry page = journal.getOldest(); !page.isEmpty(); page = journal.get(page.getNextLink())) {
      page.getEvents().forEach(this::note);
    }
  }

  private void note(Event entry) {
    int number = Integer.parseInt(entry.getEvent().get("id").asText());
    unordered += number <= last ? 1 : 0;
    first = first < 0 ? number : first;
    last = number;
    read++;
  }

  private static JournalService service() {
    com.adobe.aio.workspace.Workspace identity = com.adobe.aio.workspace.Workspace.builder()
        .imsUrl(ENV.get("IMS_URL"))
        .imsOrgId(ENV.get("IMS_ORG_ID"))
        .apiKey(ENV.get("CLIENT_ID"))
        .authContext(OAuthContext.builder().clientSecret(ENV.get("CLIENT_SECRET")).addScope("adobeio_api").build())
        .build();
    com.adobe.Workspace workspace = com.adobe.Workspace.builder()
        .imsOrgId(ENV.get("IMS_ORG_ID"))
        .apiKey(ENV.get("CLIENT_ID"))
        .consumerOrgId(ENV.get("CONSUMER_ORG_ID"))
        .projectId(ENV.get("PROJECT_ID"))
        .workspaceId(ENV.get("WORKSPACE_ID"))
        .credentialId(ENV.get("CREDENTIAL_ID"))
        .build();
    RequestInterceptor token = AuthInterceptor.builder().workspace(identity).build();
    RequestInterceptor headers = AIOHeaderInterceptor.builder().workspace(identity).build();
    RequestInterceptor both = request -> {
      token.apply(request);
      headers.apply(request);
    };
    return JournalService.builder().authInterceptor(both).workspace(workspace).url(ENV.get("JOURNAL_URL")).build();
  }
}
