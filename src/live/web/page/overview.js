// The broker at a glance.
import { bytes, h, number, put, read } from './dom.js';
import { Chart } from './charts.js';

export function overview(main) {
  const tile = (label, more) => {
    const value = h('span.value', {}, '–');
    const below = h('span.more', {}, more ?? '');
    return { element: h('div.card.tile', {}, h('span.label', {}, label), value, below), value, below };
  };
  const tiles = {
    connected: tile('Clients connected'), sessions: tile('Sessions'), subscriptions: tile('Subscriptions'),
    retained: tile('Retained messages'), queued: tile('Messages waiting'), memory: tile('Memory'),
  };
  const charts = [
    new Chart('Messages a second', [
      { name: 'received', of: (sample) => sample.received }, { name: 'sent', of: (sample) => sample.sent },
    ], number),
    new Chart('Bytes a second', [
      { name: 'received', of: (sample) => sample.bytes_received }, { name: 'sent', of: (sample) => sample.bytes_sent },
    ], bytes),
    new Chart('Clients connected', [{ name: 'connected', of: (sample) => sample.connected }], number),
  ];
  const facts = h('dl.facts');
  put(main,
    h('div.head', {}, h('h1', {}, 'Overview')),
    h('div.tiles', {}, Object.values(tiles).map(({ element }) => element)),
    h('div.charts', {}, charts.map(({ element }) => element)),
    h('section.card.padded.stack', {}, h('h2', {}, 'Since the broker began'), facts));

  let samples = [];
  let gone = false;
  let timer;
  const tell = (name, value, more) => {
    tiles[name].value.textContent = value;
    tiles[name].below.textContent = more;
  };
  async function refresh() {
    try {
      const after = samples.at(-1)?.number ?? 0;
      const [seen, more] = await Promise.all([read('/api/overview'), read('/api/rates', { after })]);
      if (gone) return;
      samples = samples.concat(more).slice(-600);
      for (const chart of charts) chart.show(samples);
      tell('connected', number(seen.connected), `${number(seen.connected_maximum)} at most`);
      tell('sessions', number(seen.sessions), `${number(seen.sessions - seen.connected)} offline`);
      tell('subscriptions', number(seen.subscriptions), '');
      tell('retained', number(seen.retained), '');
      tell('queued', number(seen.queued), `${number(seen.inflight)} not acknowledged`);
      tell('memory', seen.memory === null ? '–' : bytes(seen.memory), '');
      const rows = [
        ['Messages', `${number(seen.publishes_received)} received, ${number(seen.publishes_sent)} sent, ${number(seen.dropped)} dropped`],
        ['Packets', `${number(seen.packets_received)} received, ${number(seen.packets_sent)} sent`],
        ['Bytes', `${bytes(seen.bytes_received)} received, ${bytes(seen.bytes_sent)} sent`],
        ['Clients', `${number(seen.accepted)} accepted, ${number(seen.refused)} refused`],
        ['Sessions expired', number(seen.expired)],
        ['Version', `simrun ${seen.version}`],
      ];
      put(facts, rows.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]));
    } catch {
      // The head of the page says it; a broker that begins anew counts anew.
      samples = [];
    }
  }
  const again = async () => {
    if (!document.hidden) await refresh();
    if (!gone) timer = setTimeout(again, 1000);
  };
  const resize = new ResizeObserver(() => charts.forEach((chart) => chart.draw()));
  resize.observe(main);
  again();
  return () => {
    gone = true;
    clearTimeout(timer);
    resize.disconnect();
  };
}
