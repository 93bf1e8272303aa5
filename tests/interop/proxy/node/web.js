// Stock Node programs on both sides of the routes: `serve WEB RPC` and `ask WEB RPC SAID`. SAID is what the applications are to be told of the peer.
const http = require('http');
const WebSocket = require('ws');
const grpc = require('@grpc/grpc-js');

const as_is = (bytes) => bytes;
const service = {
  watch: {
    path: '/bank.Ledger/Watch', requestStream: true, responseStream: true,
    requestSerialize: as_is, requestDeserialize: as_is, responseSerialize: as_is, responseDeserialize: as_is,
  },
};

function serve(web, rpc) {
  const server = http.createServer((request, answer) => {
    answer.setHeader('version', request.httpVersion);
    answer.end(`${request.headers['x-forwarded-client-cert']}\n`);
  });
  new WebSocket.Server({ server }).on('connection', (socket, request) => {
    socket.send(request.headers['x-forwarded-client-cert']);
    socket.on('message', (message, isBinary) => socket.send(message, { binary: isBinary }));
  });
  server.listen(web, '127.0.0.1');
  const ledger = new grpc.Server();
  ledger.addService(service, {
    watch(call) {
      const said = call.metadata.get('x-forwarded-client-cert').join('|');
      call.on('data', (message) => call.write(message));
      call.on('end', () => { const trailers = new grpc.Metadata(); trailers.set('said', said); call.end(trailers); });
    },
  });
  ledger.bindAsync(`127.0.0.1:${rpc}`, grpc.ServerCredentials.createInsecure(), (error) => { if (error) throw error; });
}

function wants(what, got, wanted) {
  if (got !== wanted) { console.error(`${what}: ${got}, not ${wanted}`); process.exit(1); }
}

function websocket(web, said) {
  return new Promise((done) => {
    const socket = new WebSocket(`ws://127.0.0.1:${web}/`, { headers: { 'x-forwarded-client-cert': 'evil', x_forwarded_client_cert: 'evil' } });
    let got = -1;
    const message = Buffer.alloc(100_000, 'w');
    socket.on('message', (bytes) => {
      if (got < 0) wants('told of the peer', bytes.toString(), said);
      else wants('bytes of a message', Buffer.compare(bytes, message), 0);
      got += 1;
      if (got === 100) socket.close(1000); else socket.send(message);
    });
    socket.on('close', (code) => { wants('close code', code, 1000); wants('messages', got, 100); console.log('websocket'); done(); });
  });
}

function rpc(port, said) {
  return new Promise((done) => {
    const Ledger = grpc.makeGenericClientConstructor(service, 'Ledger');
    const client = new Ledger(`127.0.0.1:${port}`, grpc.credentials.createInsecure());
    const evil = new grpc.Metadata();
    evil.set('x-forwarded-client-cert', 'evil');
    const call = client.watch(evil);
    let got = 0;
    call.on('data', (message) => {
      wants('message', message.toString(), `message ${got}`);
      got += 1;
      if (got === 1000) call.end(); else call.write(Buffer.from(`message ${got}`));
    });
    call.on('status', (status) => {
      wants('status', status.code, grpc.status.OK);
      wants('messages', got, 1000);
      wants('told of the peer', status.metadata.get('said').join('|'), said);
      client.close();
      console.log('grpc');
      done();
    });
    call.write(Buffer.from('message 0'));
  });
}

const [, , what, web, port, said] = process.argv;
if (what === 'serve') serve(web, port);
else websocket(web, said).then(() => rpc(port, said));
