// Elements, requests, words for numbers. Whatever a client chose is put in as text and never as markup.

/** An element: `h('p.note', { title: 'x' }, 'text', other)`. Properties that begin with `on` are listeners. */
export function h(name, properties = {}, ...children) {
  const [tag, ...classes] = name.split('.');
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(' ');
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else if (key in element && !key.startsWith('aria')) element[key] = value;
    else element.setAttribute(key, value === true ? '' : value);
  }
  put(element, ...children);
  return element;
}

/** Replaces what is in an element. */
export function put(element, ...children) {
  element.replaceChildren(...children.flat(3).filter((child) => child !== undefined && child !== null && child !== false));
  return element;
}

/** An error that the broker answered with, or `status` 0 where there was no answer. */
export class Problem extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** What is told of each request: whether there was an answer, and whether it was that somebody has to log in. */
export const contact = { answered() {}, lost() {}, stranger() {} };

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, {
      credentials: 'same-origin', ...options, headers: { 'X-Simrun': '1', ...options.headers },
    });
  } catch {
    contact.lost();
    throw new Problem(0, 'the broker does not answer');
  }
  contact.answered();
  const body = await response.json().catch(() => ({}));
  if (response.ok) return body;
  if (response.status === 401 && path !== '/api/login') contact.stranger();
  throw new Problem(response.status, body.error ?? `the broker answers ${response.status}`);
}

/** GET, with a query. */
export function read(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
  const text = new URLSearchParams(given).toString();
  return ask(text ? `${path}?${text}` : path);
}

/** POST, with JSON. */
export function change(path, body) {
  return ask(path, { method: 'POST', body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } });
}

/** Says something for a few seconds. */
export function toast(text, bad = false) {
  const box = h(bad ? 'div.toast.bad' : 'div.toast', {}, text);
  document.getElementById('toasts').append(box);
  setTimeout(() => box.remove(), bad ? 7000 : 3500);
}

/** A dialog that is gone once it is closed; `fill` gets a function that closes it. */
export function dialog(fill, small = false) {
  const box = h(small ? 'dialog.small' : 'dialog', { onclose: () => box.remove() });
  box.addEventListener('click', (event) => event.target === box && box.close());
  put(box, fill(() => box.close()));
  document.body.append(box);
  box.showModal();
  return box;
}

/** Asks whether something is really to be done. */
export function confirm(title, text, word, act) {
  dialog((close) => h('div.stack', {},
    h('h1', {}, title),
    h('p.muted', {}, text),
    h('div.actions', {},
      h('button', { type: 'button', onclick: close, autofocus: true }, 'Cancel'),
      h('button.main.bad', { type: 'button', onclick: async () => { close(); await attempt(act); } }, word))), true);
}

/** Does something, and says it if it fails. */
export async function attempt(act) {
  try {
    return await act();
  } catch (problem) {
    toast(problem.message, true);
    return undefined;
  }
}

/** What to show where there is nothing. */
export function empty(title, text, code) {
  return h('div.empty', {}, h('b', {}, title), h('span', {}, text), code && h('code.mono', {}, code));
}

/** Calls `act` once nothing has happened for a moment. */
export function calmly(act, pause = 250) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...given), pause);
  };
}

const plain = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

/** 1,234 or 1.2M. */
export const number = (value) => (Math.abs(value) < 100000 ? plain.format(value) : short.format(value));

/** 1.2 KB. */
export function bytes(value) {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value < 10 && unit > 0 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** 3 d 4 h. */
export function span(seconds) {
  const parts = [['d', 86400], ['h', 3600], ['min', 60], ['s', 1]];
  const first = parts.findIndex(([, size]) => seconds >= size);
  if (first < 0) return '0 s';
  const words = [];
  for (const [unit, size] of parts.slice(first, first + 2)) {
    const value = Math.floor(seconds / size);
    seconds -= value * size;
    if (value > 0) words.push(`${value} ${unit}`);
  }
  return words.join(' ');
}

/** How long a session lives on. */
export const expiry = (seconds) => (seconds === null ? 'never' : seconds === 0 ? 'with the connection' : span(seconds));
