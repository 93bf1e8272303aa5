import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import io.spiffe.svid.jwtsvid.JwtSvid;
import io.spiffe.svid.x509svid.X509Svid;
import io.spiffe.svid.x509svid.X509SvidValidator;
import io.spiffe.workloadapi.Address;
import io.spiffe.workloadapi.DefaultJwtSource;
import io.spiffe.workloadapi.DefaultWorkloadApiClient;
import io.spiffe.workloadapi.JwtSource;
import io.spiffe.workloadapi.Watcher;
import io.spiffe.workloadapi.WorkloadApiClient;
import io.spiffe.workloadapi.X509Context;
import io.spiffe.workloadapi.grpc.SpiffeWorkloadAPIGrpc;
import io.spiffe.workloadapi.grpc.SpiffeWorkloadAPIGrpc.SpiffeWorkloadAPIStub;
import io.spiffe.workloadapi.grpc.Workload.X509SVIDRequest;
import io.spiffe.workloadapi.grpc.Workload.X509SVIDResponse;
import io.spiffe.workloadapi.internal.GrpcManagedChannelFactory;
import io.spiffe.workloadapi.internal.ManagedChannelWrapper;
import io.spiffe.workloadapi.internal.SecurityHeaderInterceptor;
import java.util.EnumSet;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/**
 * java-spiffe, unmodified, at the Workload API of SPIFFE_ENDPOINT_SOCKET.
 *
 * <p>usage: Client watch | next | once TIMES | jwt AUDIENCE. Prints one line an event, its words apart by tabs: x509 ID SERIAL, jwt ID, end REASON.
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

    /**
     * The codes after which the next java-spiffe ends a watch for good: its main branch since May 2026 (8cef441), in no release up to 0.8.17.
     */
    static final Set<Status.Code> FOR_GOOD = EnumSet.of(
            Status.Code.INVALID_ARGUMENT,
            Status.Code.CANCELLED,
            Status.Code.PERMISSION_DENIED,
            Status.Code.UNAUTHENTICATED,
            Status.Code.UNIMPLEMENTED,
            Status.Code.FAILED_PRECONDITION);

    /** A watcher of our own with that rule, over the released library's channel and messages: what our status codes will mean to it. */
    static void next() throws Exception {
        ExecutorService executor = Executors.newCachedThreadPool();
        ManagedChannelWrapper channel = GrpcManagedChannelFactory.newChannel(Address.parseAddress(Address.getDefaultAddress()), executor);
        SpiffeWorkloadAPIStub api = SpiffeWorkloadAPIGrpc.newStub(channel.getChannel()).withInterceptors(new SecurityHeaderInterceptor());
        while (true) {
            CountDownLatch ended = new CountDownLatch(1);
            Status[] status = {Status.OK};
            api.fetchX509SVID(X509SVIDRequest.getDefaultInstance(), new StreamObserver<X509SVIDResponse>() {
                @Override
                public void onNext(X509SVIDResponse answer) {
                    try {
                        var first = answer.getSvids(0);
                        tell(X509Svid.parseRaw(first.getX509Svid().toByteArray(), first.getX509SvidKey().toByteArray()));
                    } catch (Exception error) {
                        throw new IllegalStateException(error);
                    }
                }

                @Override
                public void onError(Throwable error) {
                    status[0] = Status.fromThrowable(error);
                    ended.countDown();
                }

                @Override
                public void onCompleted() {
                    ended.countDown();
                }
            });
            ended.await();
            if (FOR_GOOD.contains(status[0].getCode())) {
                say("end", status[0].getCode().name(), String.valueOf(status[0].getDescription()));
                return;
            }
            // Its first pause.
            Thread.sleep(1000);
        }
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
            case "next" -> next();
            case "once" -> once(Integer.parseInt(args[1]));
            case "jwt" -> jwt(args[1]);
            default -> throw new IllegalArgumentException(args[0]);
        }
        // Threads of its transport would keep the process.
        System.exit(0);
    }
}
