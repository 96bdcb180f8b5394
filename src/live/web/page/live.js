// What passes: packets, and messages of topics that one subscribes to here.
import { attempt, bytes, calmly, change, empty, h, number, put, toast } from './dom.js';

const KEPT = 500;
const TYPES = ['CONNECT', 'CONNACK', 'PUBLISH', 'PUBACK', 'PUBREC', 'PUBREL', 'PUBCOMP', 'SUBSCRIBE', 'SUBACK', 'UNSUBSCRIBE', 'UNSUBACK', 'PINGREQ', 'PINGRESP', 'DISCONNECT', 'AUTH', 'OPENED', 'CLOSED', 'SESSION'];

/** Server-sent events from a path, opened again when they end. */
class Feed {
  constructor(heard) {
    this.heard = heard;
  }

  open(path) {
    this.close();
    const source = new EventSource(path);
    this.source = source;
    source.onmessage = (event) => this.heard(JSON.parse(event.data));
    source.onerror = () => {
      // A browser gives up where the answer was no stream.
      if (source.readyState === EventSource.CLOSED && this.source === source) {
        this.timer = setTimeout(() => this.open(path), 2000);
      }
    };
  }

  close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = undefined;
  }
}

/** 1:02:03.456 since the broker began. */
function clock(milliseconds) {
  const two = (value) => String(value).padStart(2, '0');
  const seconds = Math.floor(milliseconds / 1000);
  const rest = String(milliseconds % 1000).padStart(3, '0');
  return `${Math.floor(seconds / 3600)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}.${rest}`;
}

/** Puts new lines at the top of a stream, as many as are kept. What comes while it is paused waits. */
class Log {
  constructor(nothing) {
    this.nothing = nothing;
    this.element = h('div.card.stream', { role: 'log', 'aria-live': 'off', tabIndex: 0 });
    this.waiting = [];
    this.paused = false;
    this.clear();
  }

  add(lines) {
    if (!lines.length) return;
    if (this.paused) {
      this.waiting = this.waiting.concat(lines).slice(-KEPT);
      return;
    }
    if (this.isEmpty) this.element.replaceChildren();
    this.isEmpty = false;
    this.element.prepend(...lines.slice(-KEPT).reverse());
    while (this.element.childElementCount > KEPT) this.element.lastElementChild.remove();
  }

  pause(paused) {
    this.paused = paused;
    if (!paused) this.add(this.waiting.splice(0));
  }

  clear() {
    this.waiting = [];
    this.isEmpty = true;
    put(this.element, this.nothing());
  }
}

const gap = (missed, what) => h('div.gap', {}, `${number(missed)} more ${what} came at once and are not shown`);

/** A button that holds a log still. */
function pauser(log) {
  const button = h('button', { type: 'button', 'aria-pressed': 'false' }, 'Pause');
  button.addEventListener('click', () => {
    log.pause(!log.paused);
    button.textContent = log.paused ? 'Go on' : 'Pause';
    button.setAttribute('aria-pressed', String(log.paused));
  });
  return button;
}

export function packets(main, query) {
  const client = h('input', { type: 'search', placeholder: 'any', value: query.get('client') ?? '' });
  const topic = h('input', { type: 'search', placeholder: 'any, such as sensors/#', value: query.get('topic') ?? '', autocapitalize: 'none', spellcheck: false });
  const chosen = new Set((query.get('types') ?? '').split(',').filter(Boolean));
  const chips = TYPES.map((type) => {
    const chip = h('button.chip', { type: 'button', 'aria-pressed': String(chosen.has(type)) }, type);
    chip.addEventListener('click', () => {
      if (!chosen.delete(type)) chosen.add(type);
      chip.setAttribute('aria-pressed', String(chosen.has(type)));
      anew();
    });
    return chip;
  });
  const log = new Log(() => empty('Nothing has passed yet', 'Packets of all clients appear here as they come and go, the newest first.'));
  const error = h('p.error', { role: 'alert', hidden: true });
  const feed = new Feed(({ lines, missed }) => {
    log.add([...lines.map(row), ...(missed ? [gap(missed, 'packets')] : [])]);
  });
  const row = (line) => h('div.packet', {},
    h('span.time', {}, clock(line.at)),
    line.way ? h(`span.${line.way}`, { title: line.way === 'in' ? 'from the client' : 'to the client' }, line.way === 'in' ? '→' : '←') : h('span', {}, '·'),
    h('span.client', { title: line.client }, line.client),
    h('span.kind', {}, line.kind),
    h('span.text', {}, line.text, ' ', line.size ? h('span.size', {}, bytes(line.size)) : ''));
  async function anew() {
    const wanted = { client: client.value, topic: topic.value, types: [...chosen].join(',') };
    const given = new URLSearchParams(Object.entries(wanted).filter(([, value]) => value));
    history.replaceState(null, '', given.size ? `#packets?${given}` : '#packets');
    log.clear();
    // A stream cannot say why it is refused.
    const wrong = topicIsWrong(topic.value);
    error.hidden = !wrong;
    error.textContent = wrong ?? '';
    if (wrong) feed.close();
    else feed.open(`/api/packets?${given}`);
  }
  client.addEventListener('input', calmly(anew, 400));
  topic.addEventListener('input', calmly(anew, 400));
  put(main,
    h('div.head', {}, h('h1', {}, 'Packets'), h('span.room'), pauser(log), h('button', { type: 'button', onclick: () => log.clear() }, 'Clear')),
    h('div.row', {}, h('label.field.grow', {}, 'Client contains', client), h('label.field.grow', {}, 'Topic matches', topic)),
    h('div.chips.packet-types', { role: 'group', 'aria-label': 'Packet types; none chosen means all' }, chips),
    error, log.element);
  anew();
  return () => feed.close();
}

/** Why this is no topic filter, if it is none. */
function topicIsWrong(filter) {
  const levels = filter.split('/');
  if (levels.some((level) => /[+#]/.test(level) && level.length > 1)) return 'A wildcard (+ or #) has to stand alone in its level.';
  if (levels.slice(0, -1).includes('#')) return '# can only be the last level.';
  return undefined;
}

export function messages(main, query) {
  const filters = new Set([query.get('filter')].filter(Boolean));
  const log = new Log(() => (filters.size
    ? empty('Nothing heard yet', 'Messages appear here as they are published, the newest first.')
    : empty('Not subscribed to anything', 'Add a topic filter above: # hears everything, sensors/+/temperature each sensor’s temperature.')));
  const feed = new Feed(({ messages: heard, missed }) => {
    log.add([...heard.map(row), ...(missed ? [gap(missed, 'messages')] : [])]);
  });
  const row = ({ at, message }) => h('article.message', {},
    h('header', {},
      h('span.topic', {}, message.topic),
      message.retain && h('span.tag', {}, 'retained'),
      h('span.tag', {}, `QoS ${message.qos}`),
      h('span.room'),
      h('span.time', {}, clock(at))),
    h('div.payload', {}, message.text ?? message.hex ?? '', message.cut ? ' …' : '', message.size === 0 ? h('span.muted', {}, '(empty)') : ''),
    message.properties.length > 0 && h('div.muted', {}, message.properties.map(([name, value]) => `${name}: ${value}`).join(' · ')));

  const chips = h('div.chips', { 'aria-label': 'Subscribed to' });
  const anew = () => {
    put(chips, [...filters].map((filter) => h('button.chip.mono', {
      type: 'button', title: 'Unsubscribe', 'aria-label': `Unsubscribe from ${filter}`,
      onclick: () => { filters.delete(filter); anew(); },
    }, `${filter}  ×`)));
    log.clear();
    if (filters.size) feed.open(`/api/messages?${new URLSearchParams({ filters: [...filters].join('\n') })}`);
    else feed.close();
  };
  const wanted = h('input', { placeholder: 'sensors/#', 'aria-label': 'Topic filter', autocapitalize: 'none', spellcheck: false });
  const error = h('p.error', { role: 'alert', hidden: true });
  const subscribe = (event) => {
    event.preventDefault();
    const wrong = topicIsWrong(wanted.value);
    error.hidden = !wrong;
    error.textContent = wrong ?? '';
    if (wrong || !wanted.value) return;
    filters.add(wanted.value);
    wanted.value = '';
    anew();
  };

  const topic = h('input', { required: true, placeholder: 'lamp/hall', autocapitalize: 'none', spellcheck: false });
  const payload = h('textarea', { placeholder: 'on', spellcheck: false });
  const qos = h('select', {}, [0, 1, 2].map((level) => h('option', { value: String(level) }, String(level))));
  const retain = h('input', { type: 'checkbox' });
  const publish = async (event) => {
    event.preventDefault();
    await attempt(async () => {
      const told = await change('/api/publish', { topic: topic.value, payload: payload.value, qos: Number(qos.value), retain: retain.checked });
      toast(told.subscribers ? 'Published' : 'Published; nobody is subscribed to it');
    });
  };
  put(main,
    h('div.head', {}, h('h1', {}, 'Messages')),
    h('div.split', {},
      h('div.stack', {},
        h('form.card.padded.stack', { onsubmit: subscribe },
          h('h2', {}, 'Subscribe'),
          h('div.row', {}, h('label.field.grow', {}, 'Topic filter', wanted), h('button.main', { type: 'submit' }, 'Subscribe')),
          error, chips),
        h('div.row.mid', {}, pauser(log), h('button', { type: 'button', onclick: () => log.clear() }, 'Clear')),
        log.element),
      h('form.card.padded.stack', { onsubmit: publish },
        h('h2', {}, 'Publish'),
        h('label.field', {}, 'Topic', topic),
        h('label.field', {}, 'Payload', payload),
        h('div.row.mid', {},
          h('label.field', {}, 'QoS', qos),
          h('label.tick', {}, retain, 'retain'),
          h('span.room'),
          h('button.main', { type: 'submit' }, 'Publish')))));
  anew();
  return () => feed.close();
}
