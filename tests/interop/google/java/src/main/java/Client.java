import com.google.auth.oauth2.ComputeEngineCredentials;
import com.google.auth.oauth2.GoogleCredentials;
import com.google.auth.oauth2.IdTokenCredentials;
import java.net.URL;
import java.net.URLConnection;
import java.nio.charset.StandardCharsets;
import java.util.List;

/** What a Java program gets through google-auth-library, by the environment alone. Prints {@code what<TAB>value} lines. */
final class Client {
  public static void main(String[] args) throws Exception {
    String scope = args[0];
    String audience = args[1];
    ComputeEngineCredentials found = (ComputeEngineCredentials) GoogleCredentials.getApplicationDefault();
    // The library knows where the server is, and has no call for this.
    URLConnection project =
        new URL(ComputeEngineCredentials.getMetadataServerUrl() + "/computeMetadata/v1/project/project-id").openConnection();
    project.setRequestProperty("Metadata-Flavor", "Google");
    say("project", new String(project.getInputStream().readAllBytes(), StandardCharsets.UTF_8));
    say("email", found.getAccount());
    say("access", found.refreshAccessToken().getTokenValue());
    say("scoped", found.createScoped(List.of(scope)).refreshAccessToken().getTokenValue());
    IdTokenCredentials id =
        IdTokenCredentials.newBuilder().setIdTokenProvider(found).setTargetAudience(audience).build();
    say("id", id.refreshAccessToken().getTokenValue());
    say("universe", found.getUniverseDomain());
  }

  private static void say(String what, String value) {
    System.out.println(what + "\t" + value);
  }
}
