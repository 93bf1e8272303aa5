// Stock Node programs on both sides of the routes: `serve WEB RPC WEB2` and `ask WEB RPC SAID EXTENDED...`. SAID is what the applications are to be told
// of the peer, WEB2 speaks HTTP/2 alone, and EXTENDED are asked for WebSocket in HTTP/2 (RFC 8441). `half WEB CERTIFICATE KEY` ends its side when it has asked.
const http = require('http');
const http2 = require('http2');
const tls = require('tls');
const fs = require('fs');
const WebSocket = require('ws');
const grpc = require('@grpc/grpc-js');

const as_is = (bytes) => bytes;
const service = {
  watch: {
    path: '/bank.Ledger/Watch', requestStream: true, responseStream: true,
    requestSerialize: as_is, requestDeserialize: as_is, responseSerialize: as_is, responseDeserialize: as_is,
  },
};

// A stream of HTTP/2 as the socket of a WebSocket, which is `ws`'s on either side.
function on(stream, isServer) {
  const socket = new WebSocket(null, undefined, {});
  stream.setNoDelay = () => {};
  socket.setSocket(stream, Buffer.alloc(0), { allowSynchronousEvents: true, maxPayload: 1 << 20, skipUTF8Validation: false });
  socket._isServer = isServer;
  socket._receiver._isServer = isServer;
  return socket;
}

function greet(socket, headers) {
  socket.send(headers['x-forwarded-client-cert']);
  socket.on('message', (message, isBinary) => socket.send(message, { binary: isBinary }));
}

function serve(web, rpc, web2) {
  const server2 = http2.createServer({ settings: { enableConnectProtocol: true } });
  server2.on('stream', (stream, headers) => {
    if (headers[':method'] !== 'CONNECT' || headers[':protocol'] !== 'websocket') {
      stream.respond({ ':status': 400 }, { endStream: true });
      return;
    }
    stream.respond({ ':status': 200 });
    greet(on(stream, true), headers);
  });
  server2.listen(web2, '127.0.0.1');
  const server = http.createServer((request, answer) => {
    answer.setHeader('version', request.httpVersion);
    const say = () => answer.end(`${request.headers['x-forwarded-client-cert']}\n`);
    if (request.url === '/slow') setTimeout(say, 500); else say();
  });
  new WebSocket.Server({ server }).on('connection', (socket, request) => greet(socket, request.headers));
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

// Until it is closed by both: 100 messages. `lost` is the code where Node's stream is gone before `ws` has read the last frame, also without a proxy.
function talk(socket, said, name, done, lost) {
  let got = -1;
  const message = Buffer.alloc(100_000, 'w');
  socket.on('message', (bytes) => {
    if (got < 0) wants('told of the peer', bytes.toString(), said);
    else wants('bytes of a message', Buffer.compare(bytes, message), 0);
    got += 1;
    if (got === 100) socket.close(1000); else socket.send(message);
  });
  socket.on('close', (code) => { if (code !== lost) wants('close code', code, 1000); wants('messages', got, 100); console.log(name); done(); });
}

function websocket(web, said) {
  return new Promise((done) => {
    const headers = { 'x-forwarded-client-cert': 'evil', x_forwarded_client_cert: 'evil' };
    talk(new WebSocket(`ws://127.0.0.1:${web}/`, { headers }), said, 'websocket', done);
  });
}

// Three at once on one connection.
function extended(port, said) {
  return new Promise((done) => {
    const session = http2.connect(`http://127.0.0.1:${port}`);
    session.on('remoteSettings', (settings) => {
      wants('enableConnectProtocol', settings.enableConnectProtocol, true);
      let open = 3;
      for (let number = 0; number < 3; number += 1) {
        const stream = session.request({
          ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/', ':scheme': 'https', ':authority': 'web.test',
          'sec-websocket-version': '13', 'x-forwarded-client-cert': 'evil', x_forwarded_client_cert: 'evil',
        });
        stream.on('response', (headers) => {
          wants('status', headers[':status'], 200);
          talk(on(stream, false), said, 'extended', () => { open -= 1; if (open === 0) { session.close(); done(); } }, 1006);
        });
      }
    });
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

// Asks, and says at once that this was all.
function half(port, certificate, key) {
  const options = {
    port, host: '127.0.0.1', cert: fs.readFileSync(certificate), key: fs.readFileSync(key), ALPNProtocols: ['http/1.1'],
    rejectUnauthorized: false, allowHalfOpen: true,
  };
  const socket = tls.connect(options, () => socket.end('GET /slow HTTP/1.1\r\nHost: a\r\n\r\n'));
  let text = '';
  socket.on('data', (bytes) => { text += bytes; });
  socket.on('end', () => { console.log(text.split('\r\n\r\n').pop() + 'ended'); socket.destroy(); });
  socket.on('error', (error) => { console.error(error); process.exit(1); });
}

const [, , what, web, port, third, ...more] = process.argv;
async function ask(said) {
  await websocket(web, said);
  await rpc(port, said);
  for (const one of more) await extended(one, said);
}
if (what === 'serve') serve(web, port, third);
else if (what === 'half') half(web, port, third);
else ask(third);
