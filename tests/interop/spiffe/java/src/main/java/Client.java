import io.spiffe.svid.jwtsvid.JwtSvid;
import io.spiffe.svid.x509svid.X509Svid;
import io.spiffe.svid.x509svid.X509SvidValidator;
import io.spiffe.workloadapi.DefaultJwtSource;
import io.spiffe.workloadapi.DefaultWorkloadApiClient;
import io.spiffe.workloadapi.JwtSource;
import io.spiffe.workloadapi.Watcher;
import io.spiffe.workloadapi.WorkloadApiClient;
import io.spiffe.workloadapi.X509Context;
import java.util.Set;
import java.util.concurrent.CountDownLatch;

/**
 * java-spiffe, unmodified, at the Workload API of SPIFFE_ENDPOINT_SOCKET.
 *
 * <p>usage: Client watch | once TIMES | jwt AUDIENCE. Prints one line an event, its words apart by tabs: x509 ID SERIAL, jwt ID, end REASON.
 */
public class Client {
    static void tell(X509Svid svid) {
        say("x509", svid.getSpiffeId().toString(), svid.getLeaf().getSerialNumber().toString(16));
    }

    static synchronized void say(String... words) {
        System.out.println(String.join("\t", words));
        System.out.flush();
    }

    static void watch() throws Exception {
        WorkloadApiClient client = DefaultWorkloadApiClient.newClient();
        CountDownLatch ended = new CountDownLatch(1);
        client.watchX509Context(new Watcher<X509Context>() {
            @Override
            public void onUpdate(X509Context context) {
                tell(context.getDefaultSvid());
            }

            @Override
            public void onError(Throwable error) {
                say("end", error.toString().replace('\n', ' '));
                ended.countDown();
            }
        });
        ended.await();
        client.close();
    }

    static void once(int times) throws Exception {
        for (int i = 0; i < times; i++) {
            try (WorkloadApiClient client = DefaultWorkloadApiClient.newClient()) {
                X509Context context = client.fetchX509Context();
                X509Svid svid = context.getDefaultSvid();
                // The chain that came is good under the bundle that came with it; that the key is the leaf's, the library has checked.
                X509SvidValidator.verifyChain(svid.getChain(), context.getX509BundleSet());
                tell(svid);
            }
        }
    }

    static void jwt(String audience) throws Exception {
        try (JwtSource source = DefaultJwtSource.newSource(); WorkloadApiClient client = DefaultWorkloadApiClient.newClient()) {
            JwtSvid svid = source.fetchJwtSvid(audience);
            JwtSvid.parseAndValidate(svid.getToken(), source, Set.of(audience));
            client.validateJwtSvid(svid.getToken(), audience);
            try {
                client.validateJwtSvid(svid.getToken(), "somebody else");
            } catch (Exception refused) {
                say("jwt", svid.getSpiffeId().toString());
                return;
            }
            say("end", "a JWT-SVID for somebody else was taken");
        }
    }

    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "watch" -> watch();
            case "once" -> once(Integer.parseInt(args[1]));
            case "jwt" -> jwt(args[1]);
            default -> throw new IllegalArgumentException(args[0]);
        }
        // Threads of its transport would keep the process.
        System.exit(0);
    }
}
