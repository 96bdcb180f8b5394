// Clients, sessions, subscriptions: a page of each at a time, however many there are.
import { attempt, bytes, calmly, change, confirm, dialog, empty, expiry, h, number, put, read, span, toast } from './dom.js';

const PAGE = 50;
const EVERY = 2000;

/** A list with a search, pages and a table that keeps itself up to date. */
function list(main, query, { title, path, place, columns, nothing, options = [] }) {
  const search = h('input.search', { type: 'search', placeholder: place, 'aria-label': place, value: query.get('search') ?? '' });
  const count = h('span.count', { role: 'status' });
  const body = h('tbody');
  const table = h('table.cards', {}, h('thead', {}, h('tr', {}, columns.map((column) => h(column.number ? 'th.number' : 'th', { scope: 'col' }, column.name)))), body);
  const holder = h('div.card.scroll');
  const back = h('button', { type: 'button' }, 'Previous');
  const on = h('button', { type: 'button' }, 'Next');
  const pager = h('div.pager', {}, back, on, count);
  put(main, h('div.head', {}, h('h1', {}, title), h('span.room'), options.map(({ element }) => element), search), holder, pager);

  // Where each page begins, up to the one that is shown.
  let pages = [undefined];
  let next = null;
  let gone = false;
  let timer;
  let asked = 0;

  async function refresh() {
    const number_of_this = ++asked;
    const extra = Object.fromEntries(options.map(({ name, value }) => [name, value()]));
    let found;
    try {
      found = await read(path, { search: search.value || undefined, after: pages.at(-1), limit: PAGE, ...extra });
    } catch (problem) {
      if (problem.status) put(holder, empty('This did not work', problem.message));
      return;
    }
    // An answer that a later question has overtaken, or nobody waits for.
    if (gone || number_of_this !== asked) return;
    next = found.next;
    back.disabled = pages.length === 1;
    on.disabled = next === null;
    const from = (pages.length - 1) * PAGE;
    const { items } = found;
    if (!items.length) {
      put(holder, search.value ? empty('Nothing found', `Nothing here contains “${search.value}”.`) : nothing());
      count.textContent = '';
    } else {
      const focused = document.activeElement?.dataset?.key;
      put(body, items.map((item) => h('tr', {}, columns.map((column) => {
        const cell = h(column.number ? 'td.number' : `td${column.kind ?? ''}`, {}, column.cell(item, refresh));
        if (column !== columns[0]) cell.dataset.label = column.name;
        return cell;
      }))));
      if (table.parentElement !== holder) put(holder, table);
      // The row that somebody stands on is another element now.
      if (focused) body.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
      count.textContent = `${number(from + 1)} to ${number(from + items.length)}${next === null ? ` of ${number(from + items.length)}` : ''}`;
    }
    // One page needs no way to others.
    back.hidden = on.hidden = pages.length === 1 && next === null;
  }
  const again = async () => {
    if (!document.hidden && !document.querySelector('dialog[open]')) await refresh();
    if (!gone) timer = setTimeout(again, EVERY);
  };
  const anew = () => {
    pages = [undefined];
    refresh();
  };
  search.addEventListener('input', calmly(anew));
  for (const option of options) option.changed(anew);
  on.addEventListener('click', () => { pages.push(next); refresh(); window.scrollTo(0, 0); });
  back.addEventListener('click', () => { pages.pop(); refresh(); window.scrollTo(0, 0); });
  again();
  return () => {
    gone = true;
    clearTimeout(timer);
  };
}

const named = (client_id, refresh) => {
  const button = h('button.link.mono', { type: 'button', onclick: () => about(client_id, refresh) }, client_id || '(empty)');
  button.dataset.key = client_id;
  return button;
};

const example = () => `mosquitto_sub -h ${location.hostname} -t '#' -v`;

export function clients(main, query) {
  // What each client had sent and got when it was seen last, for its rate.
  const before = new Map();
  const rate = (client) => {
    const total = client.packets_received + client.packets_sent;
    const now = performance.now();
    const old = before.get(client.client_id);
    if (before.size > 2000) before.clear();
    if (!old || now - old.when > 1500) before.set(client.client_id, { total, when: now, rate: old ? Math.max(0, (total - old.total) / (now - old.when) * 1000) : undefined });
    const known = before.get(client.client_id).rate;
    return known === undefined ? '…' : number(known);
  };
  return list(main, query, {
    title: 'Clients',
    path: '/api/clients',
    place: 'Search client, user or address',
    nothing: () => empty('No client is connected', 'They appear here once they connect. To try it:', example()),
    columns: [
      { name: 'Client', cell: (client, refresh) => [named(client.client_id, refresh), client.congested && h('span.sub', {}, h('span.tag.warn', {}, 'does not read'))] },
      { name: 'User', cell: (client) => client.user ?? h('span.muted', {}, '–') },
      { name: 'Address', kind: '.tight', cell: (client) => h('span.mono', {}, client.address) },
      { name: 'MQTT', kind: '.tight', cell: (client) => client.version },
      { name: 'Connected', kind: '.tight', cell: (client) => span(client.connected_for) },
      { name: 'Packets a second', number: true, cell: rate },
      { name: 'Received', number: true, cell: (client) => [number(client.packets_received), h('span.sub', {}, bytes(client.bytes_received))] },
      { name: 'Sent', number: true, cell: (client) => [number(client.packets_sent), h('span.sub', {}, bytes(client.bytes_sent))] },
      { name: 'Waiting', number: true, cell: (client) => number(client.queued + client.inflight) },
    ],
  });
}

export function sessions(main, query) {
  const box = h('input', { type: 'checkbox', checked: query.get('offline') === 'true' });
  return list(main, query, {
    title: 'Sessions',
    path: '/api/sessions',
    place: 'Search client or user',
    options: [{
      name: 'offline', element: h('label.tick', {}, box, 'offline only'),
      value: () => box.checked || undefined, changed: (act) => box.addEventListener('change', act),
    }],
    nothing: () => (box.checked
      ? empty('No session is offline', 'A session outlives its connection if its client asks for that: a session expiry in 5.0, no clean session in 3.1.1.')
      : empty('There is no session', 'Each client that connects gets one. To try it:', example())),
    columns: [
      { name: 'Client', cell: (session, refresh) => named(session.client_id, refresh) },
      { name: 'User', cell: (session) => session.user ?? h('span.muted', {}, '–') },
      { name: 'State', kind: '.tight', cell: (session) => (session.connected ? h('span.tag.good', {}, 'connected') : h('span.tag', {}, 'offline')) },
      { name: 'Expires', kind: '.tight', cell: (session) => (session.expires_in === null ? expiry(session.expiry) : `in ${span(session.expires_in)}`) },
      { name: 'Subscriptions', number: true, cell: (session) => number(session.subscriptions) },
      { name: 'Waiting', number: true, cell: (session) => number(session.queued) },
      { name: 'Not acknowledged', number: true, cell: (session) => number(session.inflight) },
    ],
  });
}

const flags = (subscription) => [
  subscription.shared && h('span.tag', {}, 'shared'),
  subscription.no_local && h('span.tag', {}, 'no local'),
  subscription.retain_as_published && h('span.tag', {}, 'retain as published'),
  subscription.identifier !== null && h('span.tag', {}, `identifier ${subscription.identifier}`),
].filter(Boolean).flatMap((tag) => [tag, ' ']);

export function subscriptions(main, query) {
  return list(main, query, {
    title: 'Subscriptions',
    path: '/api/subscriptions',
    place: 'Search client or filter',
    nothing: () => empty('Nobody is subscribed to anything', 'To try it:', example()),
    columns: [
      { name: 'Filter', cell: (subscription) => h('span.mono', {}, subscription.filter) },
      { name: 'Client', cell: (subscription, refresh) => named(subscription.client_id, refresh) },
      { name: 'State', kind: '.tight', cell: (subscription) => (subscription.connected ? h('span.tag.good', {}, 'connected') : h('span.tag', {}, 'offline')) },
      { name: 'QoS', number: true, cell: (subscription) => String(subscription.qos) },
      { name: 'Options', cell: (subscription) => flags(subscription) },
    ],
  });
}

/** All about one client. */
async function about(client_id, refresh) {
  const found = await attempt(() => Promise.all([
    read('/api/client', { id: client_id }), read('/api/subscriptions', { client: client_id, limit: 100 }),
  ]));
  if (!found) {
    refresh();
    return;
  }
  const [{ client, session }, subscribed] = found;
  const rows = [
    ['State', client ? h('span.tag.good', {}, 'connected') : h('span.tag', {}, 'offline')],
    ['User', session.user ?? '–'],
    ...(client ? [
      ['Address', h('span.mono', {}, client.address)],
      ['Connected', `for ${span(client.connected_for)}`],
      ['MQTT', `${client.version}, ${client.clean_start ? 'clean start' : 'took up its session'}, keep alive ${client.keep_alive ? span(client.keep_alive) : 'off'}`],
      ['Received', `${number(client.packets_received)} packets, ${bytes(client.bytes_received)}`],
      ['Sent', `${number(client.packets_sent)} packets, ${bytes(client.bytes_sent)}`],
    ] : []),
    ['Session expires', session.expires_in === null ? expiry(session.expiry) : `in ${span(session.expires_in)}`],
    ['Waiting', `${number(session.queued)} messages; ${number(session.inflight)} sent and not acknowledged`],
    ['Will', session.will === null ? 'none' : h('span.mono', {}, session.will)],
  ];
  const act = (close, title, text, word, path, done) => h(word === 'Disconnect' ? 'button' : 'button.bad', {
    type: 'button',
    onclick: () => {
      close();
      confirm(title, text, word, async () => {
        await change(path, { client_id });
        toast(done);
        refresh();
      });
    },
  }, word);
  dialog((close) => h('div.stack', {},
    h('h1.mono', {}, client_id),
    h('dl.facts', {}, rows.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)])),
    h('h2', {}, `Subscriptions (${number(session.subscriptions)})`),
    subscribed.items.length
      ? h('pre', { tabIndex: 0 }, subscribed.items.map(({ filter, qos }) => `${filter}   QoS ${qos}`).join('\n') + (subscribed.next ? '\n…' : ''))
      : h('p.muted', {}, 'none'),
    h('div.actions', {},
      client && act(close, `Disconnect ${client_id}?`, 'It may connect again at once. Its session goes on as its client asked for.', 'Disconnect', '/api/clients/disconnect', 'Disconnected'),
      act(close, `End the session of ${client_id}?`, 'Its subscriptions and all messages that wait for it are gone for good. If it is connected, it is disconnected.', 'End session', '/api/sessions/end', 'Session ended'),
      h('button', { type: 'button', onclick: () => { close(); location.hash = `packets?${new URLSearchParams({ client: client_id })}`; } }, 'Watch packets'),
      h('button.main', { type: 'button', onclick: close, autofocus: true }, 'Close'))));
}
