// The adapter for MQTT.js; README.md beside it has the line protocol.
// MQTT.js is taken from $SIMRUN_PEERS/js, or <repository>/target/peers/js: see tests/peers/install.sh.

import { createRequire } from 'node:module';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const peers = path.resolve(process.env.SIMRUN_PEERS || path.join(here, '../../target/peers'));
const require = createRequire(path.join(peers, 'js/package.json'));
const mqtt = require('mqtt');

// Our field → MQTT.js' property, and how its value is made and read.
const plain = [(value) => value, (value) => value];
const hex = [(value) => Buffer.from(value, 'hex'), (value) => value.toString('hex')];
const PROPERTIES = {
  session_expiry: ['sessionExpiryInterval', plain],
  receive_maximum: ['receiveMaximum', plain],
  maximum_packet_size: ['maximumPacketSize', plain],
  topic_alias_maximum: ['topicAliasMaximum', plain],
  request_response_information: ['requestResponseInformation', plain],
  request_problem_information: ['requestProblemInformation', plain],
  user_properties: ['userProperties', [pairsToObject, objectToPairs]],
  authentication_method: ['authenticationMethod', plain],
  authentication_data: ['authenticationData', hex],
  delay: ['willDelayInterval', plain],
  message_expiry: ['messageExpiryInterval', plain],
  content_type: ['contentType', plain],
  response_topic: ['responseTopic', plain],
  correlation_data: ['correlationData', hex],
  payload_is_text: ['payloadFormatIndicator', plain],
  topic_alias: ['topicAlias', plain],
  subscription_identifier: ['subscriptionIdentifier', plain],
  subscription_identifiers: ['subscriptionIdentifier', [plain[0], (value) => [value].flat()]],
  reason_string: ['reasonString', plain],
};
const MESSAGE_PROPERTIES = [
  'content_type',
  'response_topic',
  'correlation_data',
  'message_expiry',
  'user_properties',
  'subscription_identifiers',
  'payload_is_text',
];

function pairsToObject(pairs) {
  const object = {};
  for (const [key, value] of pairs) (object[key] ??= []).push(value);
  return object;
}

function objectToPairs(object) {
  return Object.entries(object).flatMap(([key, values]) => [values].flat().map((value) => [key, value]));
}

/** The properties among the fields of a command, or undefined. */
function made(fields) {
  const properties = {};
  for (const [field, value] of Object.entries(fields)) {
    if (field in PROPERTIES) {
      const [name, [make]] = PROPERTIES[field];
      properties[name] = make(value);
    }
  }
  return v5 && Object.keys(properties).length > 0 ? properties : undefined;
}

/** The properties of a message as the protocol's fields. */
function read(properties = {}) {
  const fields = {};
  for (const field of MESSAGE_PROPERTIES) {
    const [name, [, get]] = PROPERTIES[field];
    if (properties[name] !== undefined) fields[field] = get(properties[name]);
  }
  return fields;
}

function payload(fields) {
  if (fields.payload_size !== undefined) return Buffer.alloc(fields.payload_size, 'x');
  if (fields.payload_hex !== undefined) return Buffer.from(fields.payload_hex, 'hex');
  return Buffer.from(fields.payload ?? '');
}

let client = null;
let v5 = false;
let stores = null;
let open = false; // between a connect and the event `disconnected`
let held = null; // events of a command that is not answered yet

const say = (line) => process.stdout.write(JSON.stringify(line) + '\n');

function event(name, fields = {}) {
  const line = { event: name, ...fields };
  if (held) held.push(line);
  else say(line);
}

// --- commands; each may throw or call `fail` before it is answered -----------------------------------------------------

const commands = {
  connect(command) {
    v5 = command.version === '5';
    // As MQTT.js advises where sessions outlive connections: stores that `end` does not empty.
    stores = { incomingStore: new mqtt.Store({ clean: false }), outgoingStore: new mqtt.Store({ clean: false }) };
    const options = {
      protocol: command.websocket ? 'ws' : 'mqtt',
      host: command.host,
      port: command.port,
      protocolVersion: v5 ? 5 : 4,
      reconnectPeriod: 0,
      resubscribe: false,
      ...stores,
    };
    if (command.websocket) options.path = command.websocket;
    const taken = { client_id: 'clientId', clean_start: 'clean', keep_alive: 'keepalive', username: 'username' };
    for (const [field, name] of Object.entries({ ...taken, password: 'password' })) {
      if (command[field] !== undefined) options[name] = command[field];
    }
    if (command.will) {
      const { topic, qos = 0, retain = false } = command.will;
      options.will = { topic, payload: payload(command.will), qos, retain, properties: made(command.will) };
    }
    options.properties = made(command);
    client = mqtt.connect(options);
    open = true;
    client.handleAuth = (packet, done) => {
      if (packet.reasonCode !== 0x18 || command.authentication_answer === undefined) return done();
      const authenticationData = Buffer.from(command.authentication_answer, 'hex');
      const { authenticationMethod } = packet.properties;
      done(null, { cmd: 'auth', reasonCode: 0x18, properties: { authenticationMethod, authenticationData } });
    };
    // Not the event `connect`: it waits until what was unfinished is acknowledged.
    client.on('packetreceive', (packet) => {
      if (packet.cmd !== 'connack') return;
      const reason = v5 ? packet.reasonCode : packet.returnCode;
      if (reason) event('refused', { reason });
      else event('connected', { session_present: packet.sessionPresent, reason });
    });
    let reason;
    client.on('disconnect', (packet) => (reason = packet.reasonCode));
    client.on('close', () => {
      if (open) event('disconnected', { reason });
      open = false;
      reason = undefined;
    });
    client.on('error', (error) => event('error', { what: error.message }));
    client.on('message', (topic, body, packet) => {
      const { qos, retain, dup, properties } = packet;
      event('message', { topic, payload_hex: body.toString('hex'), qos, retain, dup, properties: read(properties) });
    });
  },

  reconnect(command) {
    if (open) throw new Error('still connected');
    open = true;
    client.options.clean = command.clean_start ?? false;
    // `reconnect` is for a client that was ended. After a loss MQTT.js itself calls `_reconnect`, which keeps more.
    if (client.disconnected) client.reconnect(stores);
    else client._reconnect();
  },

  publish(command, fail) {
    const { id, topic, qos = 0, retain = false } = command;
    client.publish(topic, payload(command), { qos, retain, properties: made(command) }, (error) => {
      if (error && !(error.code >= 0)) fail(error);
      else if (qos > 0) event('published', { of: id, reason: error ? error.code : 0 });
    });
  },

  subscribe(command, fail) {
    const filters = command.filters.map((one) => {
      const { qos = 0, no_local: nl = false, retain_as_published: rap = false, retain_handling: rh = 0 } = one;
      return [one.filter, v5 ? { qos, nl, rap, rh } : { qos }];
    });
    client.subscribe(Object.fromEntries(filters), { properties: made(command) }, (error, _, packet) => {
      if (packet) event('subscribed', { of: command.id, reasons: packet.granted });
      else fail(error);
    });
  },

  unsubscribe(command, fail) {
    client.unsubscribe(command.filters, { properties: made(command) }, (error, packet) => {
      if (error) fail(error);
      else event('unsubscribed', { of: command.id, reasons: packet?.granted ?? [] });
    });
  },

  disconnect(command) {
    if (!open) throw new Error('not connected');
    client.end(false, v5 ? { reasonCode: command.reason ?? 0, properties: made(command) } : {});
  },

  ping() {
    client.sendPing();
  },
};

/** Does one command and answers it. MQTT.js tells of misuse in a callback soon after the call: one turn is waited. */
async function obey(command) {
  held = [];
  let refused = null;
  let answered = false;
  const fail = (error) => {
    if (answered) event('error', { what: error.message, of: command.id });
    else refused = error;
  };
  const answer = { re: command.id };
  if (!(command.do in commands)) {
    answer.unsupported = command.do;
  } else {
    try {
      if (!client && command.do !== 'connect') throw new Error('no client yet');
      commands[command.do](command, fail);
      await new Promise(setImmediate);
      await new Promise(setImmediate);
    } catch (error) {
      refused = error;
    }
    if (refused) answer.refused = refused.message;
    else answer.ok = true;
  }
  answered = true;
  say(answer);
  held.forEach(say);
  held = null;
}

say({
  event: 'ready',
  protocol: 1,
  client: `MQTT.js ${require('mqtt/package.json').version}`,
  versions: ['3.1.1', '5'],
  lacks: ['reauthenticate'],
});
for await (const line of createInterface({ input: process.stdin })) await obey(JSON.parse(line));
process.exit(0);
