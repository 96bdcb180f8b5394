// aedes over TCP and WebSocket: broker.mjs PORT WEBSOCKET_PORT. Its defaults, but for a longer queue per client.
// tests/targets/install.sh copies this file to where aedes is installed.

import { createServer } from 'node:net';
import { Aedes } from 'aedes';
import { WebSocketServer, createWebSocketStream } from 'ws';

const [port, webSocketPort] = process.argv.slice(2).map(Number);
const host = '127.0.0.1';
const aedes = await Aedes.createBroker({ queueLimit: 10_000 });
const webSockets = new WebSocketServer({ host, port: webSocketPort, handleProtocols: () => 'mqtt' });
webSockets.on('connection', (socket, request) => aedes.handle(createWebSocketStream(socket), request));
createServer(aedes.handle).listen(port, host);
