// Retained messages as a tree: a level is fetched when it is opened.
import { attempt, change, confirm, empty, h, number, put, read, span, toast } from './dom.js';

const PAGE = 100;

export function topics(main) {
  const tree = h('div.card.tree', { role: 'tree', 'aria-label': 'Retained messages by topic' });
  const side = h('div.side');
  const again = h('button', { type: 'button', onclick: () => begin() }, 'Refresh');
  put(main, h('div.head', {}, h('h1', {}, 'Topics'), h('span.count', {}, 'retained messages'), h('span.room'), again),
    h('div.split', {}, tree, side));
  hint();

  function hint() {
    put(side, h('div.card', {}, empty('No topic chosen', 'Choose one with a message to see all of it.')));
  }

  async function begin() {
    const root = h('ul', { role: 'group' });
    const any = await more(root, undefined, undefined);
    if (any === 0) {
      put(tree, empty('Nothing is retained', 'A message published with “retain” is kept here for whoever subscribes later. To try it:', `mosquitto_pub -h ${location.hostname} -t lamp/hall -m on -r`));
    } else if (any) put(tree, root);
  }

  /** Adds the next part of a level to its list. */
  async function more(into, below, after) {
    const page = await attempt(() => read('/api/retained', { below, after, limit: PAGE }));
    if (!page) return undefined;
    into.append(...page.items.map(node));
    if (page.next !== null) {
      const button = h('button.quiet.more', {
        type: 'button',
        onclick: async () => {
          const item = button.parentElement;
          await more(into, below, page.next);
          const next = item.nextElementSibling;
          item.remove();
          next?.querySelector('button')?.focus();
        },
      }, 'Show more');
      into.append(h('li', { role: 'none' }, button));
    }
    return page.items.length;
  }

  function node({ level, topic, message, below }) {
    const shown = level || '(empty level)';
    const children = h('ul', { role: 'group', hidden: true });
    const twist = h('button.twist', { type: 'button', 'aria-expanded': 'false', 'aria-label': `Open ${shown}` }, h('span', { 'aria-hidden': 'true' }, '▶'));
    const toggle = async () => {
      const open = twist.getAttribute('aria-expanded') !== 'true';
      if (open && !children.childElementCount) await more(children, topic, undefined);
      twist.setAttribute('aria-expanded', String(open));
      children.hidden = !open;
    };
    twist.addEventListener('click', toggle);
    const name = h(message ? 'button.name' : 'button.name.plain', { type: 'button', onclick: () => (message ? look(topic, name) : toggle()) }, shown);
    // Left and right, as in every tree.
    const keys = (event) => {
      const open = twist.getAttribute('aria-expanded') === 'true';
      if (below && ((event.key === 'ArrowRight' && !open) || (event.key === 'ArrowLeft' && open))) toggle();
      else if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
        const names = [...tree.querySelectorAll('.name')].filter((one) => one.offsetParent);
        names[names.indexOf(name) + (event.key === 'ArrowDown' ? 1 : -1)]?.focus();
      } else return;
      event.preventDefault();
    };
    name.addEventListener('keydown', keys);
    return h('li', { role: 'treeitem' },
      h('div.node', {},
        below ? twist : h('span.twist', { 'aria-hidden': 'true' }),
        name,
        message && h('span.value', {}, preview(message))),
      children);
  }

  const preview = (message) => (message.text === null ? message.hex : message.text.replace(/\s+/g, ' ').slice(0, 120));

  async function look(topic, name) {
    const message = await attempt(() => read('/api/retained/message', { topic }));
    if (!message) return;
    tree.querySelectorAll('[aria-current]').forEach((one) => one.removeAttribute('aria-current'));
    name.setAttribute('aria-current', 'true');
    const rows = [
      ['Size', `${number(message.size)} bytes`], ['QoS', String(message.qos)],
      ...(message.expires_in === null ? [] : [['Expires', `in ${span(message.expires_in)}`]]),
      ...message.properties,
    ];
    const remove = () => confirm('Delete this retained message?', `Whoever subscribes to ${topic} from now on does not get it. Clients that are subscribed already are not told.`, 'Delete', async () => {
      await change('/api/retained/delete', { topic });
      toast('Deleted');
      hint();
      name.closest('li').querySelector('.value')?.remove();
      name.classList.add('plain');
    });
    put(side, h('section.card.padded.stack', { 'aria-label': 'Message' },
      h('h2.mono', {}, topic),
      h('pre', { tabIndex: 0 }, message.text ?? message.hex, message.cut ? ' …' : ''),
      message.text === null && h('p.muted', {}, 'The payload is no text: it is shown in hex.'),
      h('dl.facts', {}, rows.flatMap(([key, value]) => [h('dt', {}, key), h('dd', {}, value)])),
      h('div.actions', {},
        !topic.startsWith('$') && h('button.bad', { type: 'button', onclick: remove }, 'Delete'),
        h('a.button', { href: `#messages?${new URLSearchParams({ filter: topic })}` }, 'Watch'))));
    if (matchMedia('(max-width: 820px)').matches) side.scrollIntoView({ block: 'nearest' });
  }

  begin();
}
