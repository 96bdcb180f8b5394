// The shell: which view is shown, who is logged in, whether the broker answers.
import { change, contact, h, put, read, span } from './dom.js';
import { clients, sessions, subscriptions } from './lists.js';
import { messages, packets } from './live.js';
import { overview } from './overview.js';
import { topics } from './topics.js';

const VIEWS = { overview, clients, sessions, subscriptions, topics, packets, messages };
const main = document.getElementById('main');
const state = document.getElementById('state');

/** What the view that is shown wants done when another one is. */
let leave = () => {};
let lost = false;
let locked = false;
let uptime = 0;

contact.answered = () => {
  if (lost) {
    lost = false;
    show();
  }
};
contact.lost = () => {
  lost = true;
  state.className = 'state down';
  state.textContent = 'The broker does not answer; trying again …';
};
contact.stranger = () => login();

/** Shows the view that the address names; the part behind `?` is for it. */
function show() {
  if (locked) return;
  const [name, query = ''] = location.hash.slice(1).split('?');
  const view = VIEWS[name] ?? overview;
  leave();
  for (const link of document.querySelectorAll('#nav a')) {
    const current = link.hash.slice(1) === view.name;
    if (current) {
      link.setAttribute('aria-current', 'page');
      link.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    } else link.removeAttribute('aria-current');
  }
  document.title = `${view.name[0].toUpperCase()}${view.name.slice(1)} · simrun`;
  leave = view(main, new URLSearchParams(query)) ?? (() => {});
}

/** The form to log in with, instead of any view. */
function login() {
  if (locked) return;
  locked = true;
  leave();
  leave = () => {};
  document.querySelectorAll('dialog').forEach((box) => box.close());
  document.body.classList.add('locked');
  document.getElementById('nav').hidden = true;
  document.getElementById('logout').hidden = true;
  document.getElementById('user').hidden = true;
  const user = h('input', { name: 'user', autocomplete: 'username', required: true, autocapitalize: 'none', spellcheck: false });
  const password = h('input', { name: 'password', type: 'password', autocomplete: 'current-password' });
  const error = h('p.error', { role: 'alert' });
  const button = h('button.main', { type: 'submit' }, 'Log in');
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    error.textContent = '';
    try {
      await change('/api/login', { user: user.value, password: password.value });
      locked = false;
      document.getElementById('nav').hidden = false;
      await begin();
    } catch (problem) {
      error.textContent = problem.message[0].toUpperCase() + problem.message.slice(1);
      password.select();
    } finally {
      button.disabled = false;
    }
  };
  put(main, h('form.card.login.stack', { onsubmit: submit },
    h('h1', {}, 'Log in'),
    h('p.muted', {}, 'With a user of this broker.'),
    h('label.field', {}, 'User', user),
    h('label.field', {}, 'Password', password),
    error, button));
  user.focus();
}

/** Who we are, and what to show. */
async function begin() {
  let hello;
  try {
    hello = await read('/api/hello');
  } catch {
    put(main, h('p.muted', {}, 'Waiting for the broker …'));
    setTimeout(begin, 2000);
    return;
  }
  if (hello.login) {
    login();
    return;
  }
  const user = document.getElementById('user');
  user.hidden = !hello.user;
  user.textContent = hello.user ?? '';
  document.getElementById('logout').hidden = !hello.users;
  show();
}

/** Whether the broker is there, for the head of the page. */
async function watch() {
  if (!locked && !document.hidden) {
    try {
      const seen = await read('/api/overview');
      // A broker that has begun anew has other numbers everywhere.
      if (seen.uptime < uptime) show();
      uptime = seen.uptime;
      state.className = 'state up';
      state.textContent = `up ${span(seen.uptime)}`;
      state.title = `simrun ${seen.version}`;
    } catch {
      // Said already.
    }
  }
  setTimeout(watch, 2000);
}

const THEMES = { auto: 'Auto', light: 'Light', dark: 'Dark' };
const theme = document.getElementById('theme');
function tellTheme() {
  const now = document.documentElement.dataset.theme ?? 'auto';
  theme.textContent = THEMES[now];
  theme.setAttribute('aria-label', `Colours: ${THEMES[now]}. Change`);
}
theme.addEventListener('click', () => {
  const names = Object.keys(THEMES);
  const now = document.documentElement.dataset.theme ?? 'auto';
  const next = names[(names.indexOf(now) + 1) % names.length];
  if (next === 'auto') {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem('simrun-theme');
  } else {
    document.documentElement.dataset.theme = next;
    localStorage.setItem('simrun-theme', next);
  }
  tellTheme();
});
document.getElementById('logout').addEventListener('click', async () => {
  await change('/api/logout', {}).catch(() => {});
  login();
});
window.addEventListener('hashchange', () => {
  show();
  main.focus({ preventScroll: true });
  window.scrollTo(0, 0);
});

tellTheme();
begin();
watch();
