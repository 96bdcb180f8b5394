// Exercises an MQTT broker with MQTT.js.
//
//     node exercise_mqttjs.mjs --port 1883 --user admin --password password --version 5
//
// One line per check, `ok NAME` or `FAIL NAME: why`; exit code 0 only if all passed. The broker must know the user and
// let it use any topic. Client ids and topics are of this run only; sessions and retained messages are removed.
// MQTT.js is taken from $SIMRUN_PEERS/js, or <repository>/target/peers/js: see install.sh.
//
// That something does not come is shown by a fence (something sent later on the same path that does come), not by
// waiting.

import { readFileSync } from 'node:fs';
import { isDeepStrictEqual, inspect, parseArgs } from 'node:util';
import { createRequire } from 'node:module';
import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const PATIENCE = 10_000; // ms, for whatever must come
const WHOLE_RUN = 60_000; // ms, then the run is a failure

const here = path.dirname(fileURLToPath(import.meta.url));
const peers = path.resolve(process.env.SIMRUN_PEERS || path.join(here, '../../target/peers'));
const mqtt = createRequire(path.join(peers, 'js/package.json'))('mqtt');

const { values: args } = parseArgs({
  options: {
    host: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string' },
    user: { type: 'string' },
    password: { type: 'string' },
    version: { type: 'string' },
    ws: { type: 'boolean', default: false }, // over WebSocket
    cafile: { type: 'string' }, // over TLS: who may sign the broker's certificate (PEM)
    only: { type: 'string', multiple: true, default: [] },
    skip: { type: 'string', multiple: true, default: [] },
  },
});
if (!args.port || !args.user || !args.password || !['3.1.1', '5'].includes(args.version)) {
  console.error('usage: exercise_mqttjs.mjs --port P --user U --password P --version 3.1.1|5 [--ws] [--cafile F] [--only NAME] [--skip NAME]');
  process.exit(2);
}
const v5 = args.version === '5';
const run = `js${process.pid.toString(16)}${randomBytes(3).toString('hex')}`;

/** The broker does something else than it should. */
class Wrong extends Error {}

function short(value) {
  const text = Buffer.isBuffer(value) ? JSON.stringify(value.toString()) : inspect(value, { breakLength: Infinity });
  return text.length < 200 ? text : `${text.slice(0, 160)}... (${text.length} characters)`;
}

function expect(what, got, wanted) {
  if (!isDeepStrictEqual(got, wanted)) throw new Wrong(`${what}: ${short(got)} instead of ${short(wanted)}`);
}

/** Things that come, and those who wait for them. */
class Queue {
  items = [];
  waiting = [];

  put(item) {
    const first = this.waiting.shift();
    if (first) first(item);
    else this.items.push(item);
  }

  get(what) {
    if (this.items.length) return Promise.resolve(this.items.shift());
    return within(what, new Promise((resolve) => this.waiting.push(resolve)));
  }
}

function within(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Wrong(what)), PATIENCE);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** A client that queues what it hears, and whose calls wait for their answers. */
class Peer {
  messages = new Queue();
  closed = new Queue();
  held = new Queue();
  reason = undefined;

  constructor(clientId, { clean = true, will, holdAcks = false, user, password, properties } = {}) {
    this.options = {
      host: args.host,
      port: Number(args.port),
      protocol: `${args.ws ? 'ws' : 'mqtt'}${args.cafile ? 's' : ''}`,
      ...(args.ws && { path: '/mqtt' }),
      ...(args.cafile && { ca: readFileSync(args.cafile) }),
      protocolVersion: v5 ? 5 : 4,
      clientId,
      clean,
      username: user ?? args.user,
      password: password ?? args.password,
      keepalive: 30,
      reconnectPeriod: 0,
      resubscribe: false,
      connectTimeout: PATIENCE,
      ...(will && { will: { topic: will[0], payload: will[1], qos: 1, retain: false } }),
      ...(v5 && properties && { properties }),
    };
    this.holdAcks = holdAcks;
  }

  /** The CONNACK: { code, present, properties }. */
  async connect() {
    const client = mqtt.connect(this.options);
    this.client = client;
    if (this.holdAcks) {
      // MQTT.js reads no further while an acknowledgement is awaited, so the PUBACK is kept back where it is sent.
      const send = client._sendPacket.bind(client);
      client._sendPacket = (packet, done, ...rest) => {
        if (packet.cmd !== 'puback') return send(packet, done, ...rest);
        this.held.put(() => send(packet));
        done();
      };
    }
    client.on('message', (topic, payload, packet) => this.messages.put({ topic, payload, packet }));
    client.on('disconnect', (packet) => (this.reason = packet.reasonCode));
    client.on('close', () => this.closed.put(this.reason));
    const answer = new Promise((resolve, reject) => {
      client.on('connect', (packet) => resolve({ code: 0, present: packet.sessionPresent, properties: packet.properties ?? {} }));
      client.on('error', (error) => (typeof error.code === 'number' ? resolve({ code: error.code }) : reject(error)));
    });
    return within('no CONNACK', answer);
  }

  async up() {
    const { code, present, properties } = await this.connect();
    expect('CONNACK code', code, 0);
    return Object.assign(this, { present, properties });
  }

  async subscribe(topic, qos = 0, options = {}) {
    const answer = new Promise((resolve, reject) => {
      this.client.subscribe(topic, { qos, ...options }, (error, _, packet) => (error ? reject(error) : resolve(packet)));
    });
    expect(`SUBACK for ${topic}`, (await within('no SUBACK', answer)).granted, [qos]);
    return this;
  }

  unsubscribe(topic) {
    return within('no UNSUBACK', this.client.unsubscribeAsync(topic));
  }

  /** Returns when the message is acknowledged (QoS 0: written). */
  publish(topic, payload, qos = 0, { retain = false, ...properties } = {}) {
    const options = { qos, retain, ...(v5 && Object.keys(properties).length && { properties }) };
    return within(`QoS ${qos} message to ${topic} not acknowledged`, this.client.publishAsync(topic, payload, options));
  }

  next(what = 'message') {
    return this.messages.get(`${what} did not come`);
  }

  async nextPayloads(count) {
    const payloads = [];
    for (let n = 1; n <= count; n++) payloads.push((await this.next(`message ${n} of ${count}`)).payload.toString());
    return payloads;
  }

  /** The next message is this one. */
  async hears(topic, payload, { qos, retain } = {}) {
    const message = await this.next(`${short(payload)} on ${topic}`);
    expect('topic', message.topic, topic);
    expect(`payload on ${topic}`, message.payload, Buffer.from(payload));
    if (qos !== undefined) expect(`QoS on ${topic}`, message.packet.qos, qos);
    if (retain !== undefined) expect(`retain flag on ${topic}`, message.packet.retain, retain);
    return message.packet.properties ?? {};
  }

  /** Fence: the next message that this client gets is the one that the sender sends now. */
  async hearsNothingBefore(sender, topic, qos = 0) {
    await sender.publish(topic, 'fence', qos);
    await this.hears(topic, 'fence');
  }

  waitClosed(what) {
    return this.closed.get(`${what}: the connection stays open`);
  }

  /** The oldest PUBACK that was kept back. */
  async acknowledge() {
    (await this.held.get('message to acknowledge'))();
  }

  /** The link ends without DISCONNECT. */
  async drop() {
    this.client.stream.destroy();
    await this.waitClosed('dropped by ourselves');
  }

  async disconnect() {
    if (this.client?.connected) await within('no end of the connection', this.client.endAsync());
    else this.client?.end(true);
  }
}

/** One check's clients and names. */
class Case {
  peers = [];
  persistent = new Set();
  retained = new Set();

  constructor(name) {
    this.name = name;
  }

  topic(rest) {
    return `peers/${run}/${this.name}/${rest}`;
  }

  id(name) {
    return `${run}-${this.name}-${name}`;
  }

  /** A client that is not connected. */
  peer(name, options) {
    const peer = new Peer(name && this.id(name), options);
    this.peers.push(peer);
    return peer;
  }

  up(name, options) {
    return this.peer(name, options).up();
  }

  /** A connected client whose session stays when it goes. */
  keeping(name, expiry = 60) {
    this.persistent.add(name);
    return this.up(name, { clean: false, properties: { sessionExpiryInterval: expiry } });
  }

  retain(peer, topic, payload) {
    this.retained.add(topic);
    return peer.publish(topic, payload, 1, { retain: true });
  }

  async close() {
    for (const peer of this.peers) await peer.disconnect().catch(() => {});
    for (const name of this.persistent) await (await new Peer(this.id(name)).up()).disconnect();
    if (this.retained.size) {
      const cleaner = await new Peer(this.id('cleaner')).up();
      for (const topic of this.retained) await cleaner.publish(topic, '', 1, { retain: true });
      await cleaner.disconnect();
    }
  }
}

async function bothWays(c, qos) {
  const [a, b] = [await c.up('a'), await c.up('b')];
  await a.subscribe(c.topic('to-a'), qos);
  await b.subscribe(c.topic('to-b'), qos);
  for (const payload of ['现在天黑了', '', Buffer.from(Array.from({ length: 256 }, (_, n) => n))]) {
    await a.publish(c.topic('to-b'), payload, qos);
    await b.hears(c.topic('to-b'), payload, { qos, retain: false });
    await b.publish(c.topic('to-a'), payload, qos);
    await a.hears(c.topic('to-a'), payload, { qos, retain: false });
  }
  // In order, each once; all under way at the same time.
  const sent = Array.from({ length: 20 }, (_, n) => `${n}`);
  await Promise.all(sent.map((payload) => a.publish(c.topic('to-b'), payload, qos)));
  expect('payloads', await b.nextPayloads(sent.length), sent);
  await b.hearsNothingBefore(a, c.topic('to-b'), qos);
  await a.hearsNothingBefore(b, c.topic('to-a'), qos);
}

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

const both = {
  async connect(c) {
    const { code, present } = await c.peer('a').connect();
    expect('CONNACK code', code, 0);
    expect('session present', present, false);
  },

  qos0: (c) => bothWays(c, 0),
  qos1: (c) => bothWays(c, 1),
  qos2: (c) => bothWays(c, 2),

  async qos_is_the_lower_of_both(c) {
    const [a, b] = [await c.up('a'), await c.up('b')];
    for (const subscribed of [0, 1, 2]) {
      await b.subscribe(c.topic(`s${subscribed}`), subscribed);
      for (const published of [0, 1, 2]) {
        await a.publish(c.topic(`s${subscribed}`), `${published}`, published);
        await b.hears(c.topic(`s${subscribed}`), `${published}`, { qos: Math.min(published, subscribed) });
      }
    }
  },

  async wildcards(c) {
    const a = await c.up('a');
    const table = [
      ['one/+', ['one/x', 'one/', 'one/灯'], ['one', 'one/x/y', 'two/x']],
      ['mid/+/end', ['mid/x/end', 'mid//end'], ['mid/end', 'mid/x/y/end', 'mid/x/ends']],
      ['all/#', ['all', 'all/x', 'all/x/y/z', 'all/'], ['al', 'allx', 'other/all']],
      ['mix/+/k/#', ['mix/x/k', 'mix/x/k/l'], ['mix/k/l', 'mix/x/l']],
    ];
    for (const [n, [pattern, matching, others]] of table.entries()) {
      const b = await c.up(`b${n}`);
      await b.subscribe(c.topic(pattern));
      for (const topic of [...others, ...matching]) await a.publish(c.topic(topic), topic);
      const heard = [];
      while (heard.length < matching.length) heard.push((await b.next(`a match for ${pattern}`)).topic);
      expect(pattern, heard.sort(), matching.map((topic) => c.topic(topic)).sort());
    }
  },

  async retained(c) {
    const [a, early] = [await c.up('a'), await c.up('early')];
    const topic = c.topic('r');
    await early.subscribe(topic, 1);
    await c.retain(a, topic, 'old');
    await c.retain(a, topic, 'kept');
    await early.hears(topic, 'old', { qos: 1, retain: false });
    await early.hears(topic, 'kept', { qos: 1, retain: false });
    const late = await (await c.up('late')).subscribe(topic, 1);
    await late.hears(topic, 'kept', { qos: 1, retain: true });
    const wild = await (await c.up('wild')).subscribe(c.topic('#'), 0);
    await wild.hears(topic, 'kept', { qos: 0, retain: true });
    await a.publish(topic, '', 1, { retain: true });
    await late.hears(topic, '', { qos: 1, retain: false });
    const after = await (await c.up('after')).subscribe(topic, 1);
    await after.hearsNothingBefore(a, topic, 1);
  },

  async will_after_drop(c) {
    const watcher = await (await c.up('watcher')).subscribe(c.topic('will'), 1);
    await (await c.up('dying', { will: [c.topic('will'), 'gone'] })).drop();
    await watcher.hears(c.topic('will'), 'gone', { qos: 1, retain: false });
  },

  async no_will_after_disconnect(c) {
    const watcher = await (await c.up('watcher')).subscribe(c.topic('will'), 1);
    await (await c.up('leaving', { will: [c.topic('will'), 'gone'] })).disconnect();
    await sleep(300); // no fence reaches over to a connection that is gone
    await watcher.hearsNothingBefore(await c.up('a'), c.topic('will'), 1);
  },

  async session_resumed(c) {
    const a = await c.up('a');
    const away = await c.keeping('away');
    expect('session present at first', away.present, false);
    await away.subscribe(c.topic('t'), 1);
    await away.disconnect();
    const sent = Array.from({ length: 10 }, (_, n) => `${n}`);
    for (const payload of sent) await a.publish(c.topic('t'), payload, 1);
    const back = await c.keeping('away');
    expect('session present on return', back.present, true);
    for (const payload of sent) await back.hears(c.topic('t'), payload, { qos: 1 });
    // The subscription is still there, and nothing comes twice.
    await back.hearsNothingBefore(a, c.topic('t'), 1);
    await back.disconnect();
    const fresh = await c.up('away');
    expect('session present after a clean start', fresh.present, false);
    await a.publish(c.topic('t'), 'missed', 1);
    await fresh.subscribe(c.topic('fence'), 1);
    await fresh.hearsNothingBefore(a, c.topic('fence'), 1);
  },

  async one_mebibyte(c) {
    const payload = randomBytes(1024 * 1024);
    const [a, b] = [await c.up('a'), await c.up('b')];
    await a.subscribe(c.topic('to-a'), 1);
    await b.subscribe(c.topic('to-b'), 2);
    await a.publish(c.topic('to-b'), payload, 2);
    expect('hash of the payload (QoS 2)', sha256((await b.next('1 MiB at QoS 2')).payload), sha256(payload));
    payload.reverse();
    await b.publish(c.topic('to-a'), payload, 1);
    expect('hash of the payload (QoS 1)', sha256((await a.next('1 MiB at QoS 1')).payload), sha256(payload));
  },

  async takeover(c) {
    const [first, second] = [await c.up('same'), await c.up('same')];
    await first.waitClosed('first connection');
    await second.subscribe(c.topic('t'), 1);
    await second.hearsNothingBefore(await c.up('a'), c.topic('t'), 1);
  },

  async unsubscribe(c) {
    const [a, b] = [await c.up('a'), await c.up('b')];
    await b.subscribe(c.topic('t'), 1);
    await b.subscribe(c.topic('fence'), 1);
    await a.publish(c.topic('t'), 'before', 1);
    await b.hears(c.topic('t'), 'before');
    await b.unsubscribe(c.topic('t'));
    await a.publish(c.topic('t'), 'after', 1);
    await b.hearsNothingBefore(a, c.topic('fence'), 1);
  },

  async wrong_password(c) {
    for (const [user, password] of [[undefined, 'not the password'], ['nobody', undefined]]) {
      const peer = c.peer('a', { user, password });
      const { code } = await peer.connect();
      const wanted = v5 ? [0x86, 0x87] : [4, 5];
      if (!wanted.includes(code)) {
        throw new Wrong(`CONNACK code ${code} for ${user ?? 'a known user'} instead of one of ${wanted}`);
      }
    }
  },
};

/** A client of receive maximum 2, and six messages for it of which it has acknowledged none. */
async function twoUnacknowledged(c) {
  const [a, b] = [await c.up('a'), await c.up('b', { holdAcks: true, properties: { receiveMaximum: 2 } })];
  await b.subscribe(c.topic('t'), 1);
  const sent = Array.from({ length: 6 }, (_, n) => `${n}`);
  for (const payload of sent) await a.publish(c.topic('t'), payload, 1);
  const heard = await b.nextPayloads(2);
  await noMore(c, b);
  return { b, sent, heard };
}

async function noMore(c, b) {
  await b.subscribe(c.topic('fence'), 1); // its SUBACK comes behind what was sent too early
  expect('messages beyond 2 not acknowledged', b.messages.items.length, 0);
}

const only5 = {
  async takeover_reason(c) {
    const [first] = [await c.up('same'), await c.up('same')];
    expect('reason of the DISCONNECT', await first.waitClosed('first connection'), 0x8e);
  },

  async publish_properties(c) {
    const [a, b] = [await c.up('a'), await c.up('b')];
    await a.subscribe(c.topic('answers'), 1);
    await b.subscribe(c.topic('questions'), 1);
    const correlationData = Buffer.from([0, 255, 55]);
    const sent = {
      userProperties: { colour: ['red', 'blue'], 灯: '开', empty: '' },
      contentType: 'application/json',
      responseTopic: c.topic('answers'),
      correlationData,
      payloadFormatIndicator: true,
    };
    await a.publish(c.topic('questions'), '{}', 1, sent);
    const asked = await b.hears(c.topic('questions'), '{}', { qos: 1 });
    expect('user properties', { ...asked.userProperties }, sent.userProperties);
    expect('content type', asked.contentType, sent.contentType);
    expect('response topic', asked.responseTopic, sent.responseTopic);
    expect('correlation data', asked.correlationData, correlationData);
    expect('payload format indicator', asked.payloadFormatIndicator, true);
    await b.publish(asked.responseTopic, 'yes', 1, { correlationData: asked.correlationData });
    const answer = await a.hears(c.topic('answers'), 'yes', { qos: 1 });
    expect('correlation data of the answer', answer.correlationData, correlationData);
  },

  async message_expiry(c) {
    const a = await c.up('a');
    await (await (await c.keeping('away')).subscribe(c.topic('t'), 1)).disconnect();
    await a.publish(c.topic('t'), 'short', 1, { messageExpiryInterval: 1 });
    await a.publish(c.topic('t'), 'long', 1, { messageExpiryInterval: 60 });
    await sleep(2200);
    const { messageExpiryInterval: left } = await (await c.keeping('away')).hears(c.topic('t'), 'long', { qos: 1 });
    if (!(left >= 50 && left <= 59)) throw new Wrong(`message expiry interval ${left} on delivery, 2 s after 60`);
  },

  async session_expiry(c) {
    const leaving = await c.keeping('short', 1);
    await leaving.subscribe(c.topic('t'), 1);
    await leaving.disconnect();
    await (await c.keeping('long', 60)).disconnect();
    await sleep(2700);
    expect('session present after its expiry', (await c.keeping('short', 1)).present, false);
    expect('session present before its expiry', (await c.keeping('long')).present, true);
  },

  async topic_alias(c) {
    const [a, b] = [await c.up('a'), await c.up('b')];
    const most = a.properties.topicAliasMaximum ?? 0;
    if (most < 1) throw new Wrong('the broker takes no topic alias');
    await b.subscribe(c.topic('#'), 1);
    await a.publish(c.topic('x'), '1', 1, { topicAlias: 1 });
    await a.publish('', '2', 1, { topicAlias: 1 });
    await a.publish('', '3', 0, { topicAlias: 1 });
    await a.publish(c.topic('y'), '4', 1, { topicAlias: 1 });
    await a.publish('', '5', 2, { topicAlias: 1 });
    await a.publish(c.topic('z'), '6', 1, { topicAlias: most });
    await a.publish('', '7', 1, { topicAlias: most });
    const heard = [];
    while (heard.length < 7) heard.push(await b.next());
    expect(
      'messages',
      heard.map(({ payload, topic }) => `${payload} ${topic}`).sort(),
      [...'xxxyyzz'].map((letter, n) => `${n + 1} ${c.topic(letter)}`),
    );
  },

  async shared_subscription(c) {
    const [a, b1, b2] = [await c.up('a'), await c.up('b1'), await c.up('b2')];
    for (const b of [b1, b2]) {
      await b.subscribe(`$share/${run}/${c.topic('t')}`, 1);
      await b.subscribe(c.topic('fence'), 1);
    }
    const sent = Array.from({ length: 40 }, (_, n) => `${n + 10}`);
    for (const payload of sent) await a.publish(c.topic('t'), payload, 1);
    await a.publish(c.topic('fence'), 'fence', 1);
    const shares = [];
    for (const b of [b1, b2]) {
      const share = [];
      while (share.at(-1) !== 'fence') share.push((await b.next('the fence behind the shared messages')).payload.toString());
      shares.push(share.slice(0, -1));
    }
    expect('messages of both together', shares.flat().sort(), sent);
    if (shares.some((share) => !share.length)) throw new Wrong('one of two got all messages');
  },

  async assigned_client_id(c) {
    const given = [];
    for (const _ of [1, 2]) given.push((await c.up('')).properties.assignedClientIdentifier);
    if (given.some((id) => !id) || given[0] === given[1]) throw new Wrong(`assigned client identifiers ${short(given)}`);
  },

  async no_local(c) {
    const [a, b] = [await c.up('a'), await c.up('b')];
    await a.subscribe(c.topic('t'), 1, { nl: true });
    await b.subscribe(c.topic('t'), 1, { nl: false });
    await a.publish(c.topic('t'), 'own', 1);
    await b.hears(c.topic('t'), 'own');
    await a.hearsNothingBefore(b, c.topic('t'), 1);
    await b.hears(c.topic('t'), 'fence'); // without no local, one's own comes back
  },

  async retain_handling(c) {
    const a = await c.up('a');
    await c.retain(a, c.topic('t'), 'kept');
    const never = await (await c.up('never')).subscribe(c.topic('t'), 1, { rh: 2 });
    await never.hearsNothingBefore(a, c.topic('t'), 1);
    const fresh = await (await c.up('new')).subscribe(c.topic('t'), 1, { rh: 1 });
    await fresh.hears(c.topic('t'), 'kept', { qos: 1, retain: true });
    await fresh.subscribe(c.topic('t'), 1, { rh: 1 });
    await fresh.hearsNothingBefore(a, c.topic('t'), 1);
    await never.hears(c.topic('t'), 'fence');
    await never.subscribe(c.topic('t'), 1, { rh: 0 });
    await never.hears(c.topic('t'), 'kept', { qos: 1, retain: true });
  },

  async retain_as_published(c) {
    const [a, b] = [await c.up('a'), await c.up('b')];
    await b.subscribe(c.topic('t'), 1, { rap: true });
    await c.retain(a, c.topic('t'), 'kept');
    await b.hears(c.topic('t'), 'kept', { qos: 1, retain: true });
  },

  async receive_maximum(c) {
    const { b, sent, heard } = await twoUnacknowledged(c);
    while (heard.length < sent.length) {
      await b.acknowledge();
      heard.push(...(await b.nextPayloads(1)));
    }
    expect('payloads', heard, sent);
  },

  async receive_maximum_while_acknowledging(c) {
    const { b, sent, heard } = await twoUnacknowledged(c);
    while (heard.length < sent.length) {
      await b.acknowledge();
      heard.push(...(await b.nextPayloads(1)));
      await noMore(c, b);
    }
    expect('payloads', heard, sent);
  },
};

// These wait for time to pass; they run beside the others.
const SLOW = ['message_expiry', 'session_expiry'];

async function runOne([name, check]) {
  const c = new Case(name);
  let why;
  try {
    await check(c);
  } catch (error) {
    why = error instanceof Wrong ? error.message : `${error.name}: ${error.message}`;
  }
  try {
    await c.close();
  } catch (error) {
    why ??= `cleaning up: ${error.message}`;
  }
  console.log(why === undefined ? `ok ${name}` : `FAIL ${name}: ${why.replace(/\s+/g, ' ')}`);
  return why === undefined;
}

const known = Object.keys({ ...both, ...only5 });
for (const name of [...args.only, ...args.skip]) {
  if (!known.includes(name)) {
    console.error(`no such check: ${name}`);
    process.exit(2);
  }
}
const chosen = Object.entries({ ...both, ...(v5 && only5) }).filter(
  ([name]) => !args.skip.includes(name) && (!args.only.length || args.only.includes(name)),
);
if (!chosen.length) {
  console.error('no check to run');
  process.exit(2);
}
setTimeout(() => {
  console.log(`FAIL whole_run: not done in ${WHOLE_RUN / 1000} s`);
  process.exit(1);
}, WHOLE_RUN);
process.on('unhandledRejection', (error) => {
  console.log(`FAIL whole_run: ${error}`);
  process.exit(1);
});
const slow = chosen.filter(([name]) => SLOW.includes(name)).map(runOne);
const results = [];
for (const entry of chosen) if (!SLOW.includes(entry[0])) results.push(await runOne(entry));
results.push(...(await Promise.all(slow)));
process.exit(results.length === chosen.length && results.every(Boolean) ? 0 : 1);
