// Uses the page of a running broker as a person would, in a headless Chromium; and publishes and subscribes through the
// WebSocket listener with MQTT.js in the same browser. One line a check: `ok NAME`, or `FAIL NAME: why`; exit code 0 if
// all passed. It starts the broker itself.
//
//     SIMRUN_PEERS=… node exercise.mjs PATH/TO/simrun [--shots DIRECTORY] [--only NAME]
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const [simrun, ...rest] = process.argv.slice(2);
const option = (name) => (rest.includes(name) ? rest[rest.indexOf(name) + 1] : undefined);
const shots = option('--shots');
const only = option('--only');
const peers = process.env.SIMRUN_PEERS ?? new URL('../../target/peers', import.meta.url).pathname;
const require = createRequire(join(peers, 'browser/'));
const { chromium } = require('playwright-core');
const mqtt = require('mqtt');

const HOSTILE = '<img src=x onerror="window.owned=1">';
const SCRIPT = '</script><script>window.owned=1</script>';
const PATIENCE = 10_000;

async function broker(...more) {
  const child = spawn(simrun, ['--real', '--listen', '127.0.0.1:0', '--ws', '127.0.0.1:0', '--user', 'admin:password', '--log-level', 'off', ...more], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [said] = await once(child.stdout, 'data');
  const port = (scheme) => Number(new RegExp(`${scheme}://127\\.0\\.0\\.1:(\\d+)`).exec(said)[1]);
  return { child, tcp: port('mqtt'), ws: port('ws'), web: port('http') };
}

async function stop({ child }) {
  if (child.exitCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

function client(running, clientId, options = {}) {
  const made = mqtt.connect(`mqtt://127.0.0.1:${running.tcp}`, { username: 'admin', password: 'password', clientId, protocolVersion: 5, reconnectPeriod: 0, ...options });
  made.on('error', () => {});
  return new Promise((resolve) => made.once('connect', () => resolve(made)));
}

function check(holds, why) {
  if (!holds) throw new Error(why);
}

/** Waits until `holds` answers yes. */
async function until(holds, why) {
  const ends = Date.now() + PATIENCE;
  while (!(await holds())) {
    check(Date.now() < ends, why);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

let running = await broker('--web', '127.0.0.1:0');
const base = `http://127.0.0.1:${running.web}/`;
const profile = mkdtempSync(join(tmpdir(), 'simrun-chromium-'));
const chrome = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  headless: true,
  viewport: { width: 1280, height: 860 },
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const page = chrome.pages()[0];
page.setDefaultTimeout(PATIENCE);
const complaints = [];
// That nobody has logged in yet, or that the broker is gone, is no complaint about the page.
page.on('console', (message) => message.type() === 'error' && !/40[13]|ERR_CONNECTION_REFUSED|ERR_EMPTY_RESPONSE|ERR_INCOMPLETE|ERR_CONNECTION_RESET/.test(message.text()) && complaints.push(message.text()));
page.on('pageerror', (error) => complaints.push(String(error)));
page.on('dialog', (dialog) => { complaints.push(`an alert: ${dialog.message()}`); dialog.dismiss(); });

const view = (name) => page.goto(`${base}#${name}`);
const main = page.locator('#main');
const shot = (name) => shots && page.screenshot({ path: join(shots, `${name}.png`) });
const tile = (label) => page.locator('.tile', { hasText: label }).locator('.value').textContent();

const checks = {
  async a_wrong_password_is_refused() {
    await page.goto(base);
    await page.fill('[name=user]', 'admin');
    await page.fill('[name=password]', 'wrong');
    await page.keyboard.press('Enter');
    await page.getByText('The user name or the password is wrong').waitFor();
    check(await page.locator('#nav').isHidden(), 'nothing else is shown');
    await shot('login');
  },

  async the_right_one_opens_the_page() {
    await page.fill('[name=password]', 'password');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    await page.locator('#state.up').waitFor();
    await page.reload();
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
  },

  async empty_views_say_what_to_do() {
    for (const [name, word] of [['clients', 'No client is connected'], ['sessions', 'There is no session'], ['subscriptions', 'Nobody is subscribed'], ['messages', 'Not subscribed to anything']]) {
      await view(name);
      await main.getByText(word).waitFor();
    }
  },

  async the_overview_counts_and_draws() {
    this.hostile = await client(running, HOSTILE, { will: { topic: 'gone', payload: 'x' } });
    await this.hostile.subscribeAsync([SCRIPT, 'page/#'], { qos: 1 });
    await this.hostile.publishAsync(`evil/${SCRIPT}`, SCRIPT, { retain: true });
    await this.hostile.publishAsync('evil/bytes', Buffer.from([0, 255, 27]), { retain: true });
    await view('overview');
    await until(async () => (await tile('Clients connected')) === '1', 'one client is connected');
    await until(async () => (await page.locator('.chart polyline').count()) >= 3, 'charts have lines');
    await shot('overview');
  },

  async names_and_payloads_are_text_everywhere() {
    await view('clients');
    await main.getByText(HOSTILE, { exact: true }).waitFor();
    await view('sessions');
    await main.getByText(HOSTILE, { exact: true }).waitFor();
    await view('subscriptions');
    await main.getByText(SCRIPT, { exact: true }).waitFor();
    await view('topics');
    await page.getByRole('button', { name: 'evil', exact: true }).click();
    // The slash of the closing tag makes two levels of it.
    await page.getByRole('button', { name: '<', exact: true }).click();
    await page.getByRole('button', { name: 'script><script>window.owned=1<', exact: true }).click();
    await page.getByRole('button', { name: 'script>', exact: true }).click();
    await page.locator('.side pre', { hasText: SCRIPT }).waitFor();
    await shot('topics');
    await page.getByRole('button', { name: 'bytes', exact: true }).click();
    await page.locator('.side pre', { hasText: '00 ff 1b' }).waitFor();
    check((await page.locator('#main img, #main script, #main svg').count()) === 0, 'nothing became an element');
    check((await page.evaluate(() => window.owned)) === undefined, 'a script of a client ran');
  },

  async packets_pass_by_with_filters_and_pause() {
    await view('packets?types=PUBLISH&topic=seen/%23');
    const stream = page.locator('.stream');
    await until(async () => {
      await this.hostile.publishAsync('unseen/1', 'x');
      await this.hostile.publishAsync('seen/1', SCRIPT);
      return (await stream.locator('.packet', { hasText: 'seen/1' }).count()) > 0;
    }, 'a packet is seen');
    check((await stream.getByText('unseen').count()) === 0, 'what is filtered out is not');
    await page.getByRole('button', { name: 'Pause' }).click();
    const before = await stream.locator('.packet').count();
    await this.hostile.publishAsync('seen/while-paused', 'x');
    await page.waitForTimeout(600);
    check((await stream.locator('.packet').count()) === before, 'it holds still');
    await page.getByRole('button', { name: 'Go on' }).click();
    await stream.getByText('seen/while-paused').waitFor();
    await shot('packets');
    await page.getByLabel('Topic matches').fill('a#');
    await main.getByText('has to stand alone').waitFor();
  },

  async the_page_publishes_and_subscribes() {
    await view('messages');
    await page.getByLabel('Topic filter').first().fill('page/+');
    await page.getByRole('button', { name: 'Subscribe', exact: true }).click();
    const heard = new Promise((resolve) => this.hostile.once('message', (topic, payload) => resolve(`${topic} ${payload}`)));
    await page.getByLabel('Topic', { exact: true }).fill('page/hello');
    await page.getByLabel('Payload').fill('现在天黑了');
    await page.getByRole('button', { name: 'Publish', exact: true }).click();
    await page.locator('.message', { hasText: '现在天黑了' }).waitFor();
    check((await heard) === 'page/hello 现在天黑了', 'a client hears it');
    await shot('messages');
    await page.getByRole('button', { name: 'Unsubscribe from page/+' }).click();
    await main.getByText('Not subscribed to anything').waitFor();
  },

  async by_keyboard_alone() {
    await view('clients');
    // A page that is new has its focus nowhere.
    await page.reload();
    await page.locator('button.link').first().waitFor();
    await page.keyboard.press('Tab');
    const focused = () => page.evaluate(() => document.activeElement.textContent);
    check((await focused()) === 'Skip to the content', 'the skip link comes first');
    const style = () => page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    for (let steps = 0; (await focused()) !== HOSTILE; steps += 1) {
      check(steps < 30, 'the client is reached with Tab');
      await page.keyboard.press('Tab');
      check((await style()) !== 'none', `where the focus is can be seen (${await focused()})`);
    }
    await page.keyboard.press('Enter');
    await page.locator('dialog').getByText('keep alive').waitFor();
    await shot('client');
    await page.keyboard.press('Escape');
    await until(async () => (await page.locator('dialog').count()) === 0, 'Escape closes the dialog');
    await view('topics');
    const evil = page.getByRole('button', { name: 'evil', exact: true });
    await evil.focus();
    await page.keyboard.press('ArrowRight');
    await page.getByRole('button', { name: 'bytes', exact: true }).waitFor();
  },

  async a_client_is_disconnected_after_a_confirmation() {
    await view('clients');
    await page.locator('button.link').first().click();
    await page.getByRole('button', { name: 'Disconnect' }).click();
    await page.getByRole('button', { name: 'Cancel' }).click();
    check(this.hostile.connected, 'not without a confirmation');
    await page.locator('button.link').first().click();
    await page.getByRole('button', { name: 'Disconnect' }).click();
    const told = new Promise((resolve) => this.hostile.once('disconnect', (packet) => resolve(packet.reasonCode)));
    await page.locator('dialog').getByRole('button', { name: 'Disconnect' }).click();
    check((await told) === 0x98, 'the client is told why');
    await main.getByText('No client is connected').waitFor();
  },

  async many_clients_come_in_pages() {
    const many = await Promise.all(Array.from({ length: 120 }, (_, n) => client(running, `many-${String(n).padStart(3, '0')}`)));
    await view('clients');
    await page.getByText('many-049').waitFor();
    check((await page.locator('tbody tr').count()) === 50, 'fifty at a time');
    await page.getByRole('button', { name: 'Next' }).click();
    await page.getByText('many-050').waitFor();
    await page.getByRole('button', { name: 'Next' }).click();
    await page.getByText('many-119').waitFor();
    check(await page.getByRole('button', { name: 'Next' }).isDisabled(), 'that was the last page');
    await page.getByRole('button', { name: 'Previous' }).click();
    await page.getByText('many-099').waitFor();
    await page.getByRole('searchbox').fill('MANY-007');
    await until(async () => (await page.locator('tbody tr').count()) === 1, 'the search finds one');
    await shot('search');
    for (const one of many) one.end(true);
  },

  async on_a_phone_nothing_is_wider_than_the_screen() {
    await page.setViewportSize({ width: 375, height: 780 });
    this.long = await client(running, `a-rather-long-client-identifier-${'x'.repeat(100)}`);
    await this.long.subscribeAsync(`${'level/'.repeat(30)}#`);
    await this.long.publishAsync(`deep/${'y'.repeat(120)}`, 'z'.repeat(300), { retain: true });
    for (const name of ['overview', 'clients', 'sessions', 'subscriptions', 'topics', 'packets', 'messages?filter=deep/%23']) {
      await view(name);
      await page.waitForTimeout(400);
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      check(width <= 375, `${name} is ${width} wide`);
      await shot(`phone-${name.split('?')[0]}`);
    }
    await page.setViewportSize({ width: 1280, height: 860 });
  },

  async light_and_dark() {
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await view('overview');
    await page.emulateMedia({ colorScheme: 'light' });
    const light = await ground();
    await page.emulateMedia({ colorScheme: 'dark' });
    const dark = await ground();
    check(light !== dark, 'it follows the system');
    await shot('dark');
    await page.getByRole('button', { name: /Colours/ }).click();
    check((await ground()) === light, 'until somebody chooses: light');
    await page.reload();
    check((await ground()) === light, 'which is remembered');
    await page.getByRole('button', { name: /Colours/ }).click();
    check((await ground()) === dark, 'dark');
    await page.getByRole('button', { name: /Colours/ }).click();
    await page.emulateMedia({ colorScheme: 'light' });
    check((await ground()) === light, 'and back to the system');
  },

  async a_broker_that_is_gone_is_said_and_found_again() {
    await view('clients');
    await page.locator('button.link').first().waitFor();
    await stop(running);
    await page.locator('#state.down').waitFor();
    await shot('gone');
    running = await broker('--web', `127.0.0.1:${running.web}`);
    // Logins do not outlive the broker.
    await page.getByRole('heading', { name: 'Log in' }).waitFor();
    await page.fill('[name=user]', 'admin');
    await page.fill('[name=password]', 'password');
    await page.keyboard.press('Enter');
    await main.getByText('No client is connected').waitFor();
    await page.locator('#state.up').waitFor();
  },

  async log_out() {
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByRole('heading', { name: 'Log in' }).waitFor();
    await page.reload();
    await page.getByRole('heading', { name: 'Log in' }).waitFor();
  },

  async the_browser_complained_of_nothing() {
    check(complaints.length === 0, complaints.join('; '));
  },

  async mqtt_js_in_the_browser_over_websocket() {
    const other = await chrome.newPage();
    await other.addScriptTag({ path: join(peers, 'browser/node_modules/mqtt/dist/mqtt.min.js') });
    for (const protocolVersion of [4, 5]) {
      const heard = await other.evaluate(([url, version]) => new Promise((resolve, reject) => {
        const messages = [];
        const made = mqtt.connect(url, { username: 'admin', password: 'password', protocolVersion: version, clientId: `browser-${version}`, reconnectPeriod: 0 });
        made.on('error', reject);
        made.on('close', () => reject(new Error('it was closed')));
        setTimeout(() => reject(new Error(`only ${messages.length} messages came`)), 8000);
        made.on('message', (topic, payload, packet) => {
          messages.push(`${topic} ${payload} ${packet.qos}`);
          if (messages.length === 4) { made.end(); resolve(messages); }
        });
        made.subscribe('browser/#', { qos: 2 }, (error) => {
          if (error) reject(error);
          for (const qos of [0, 1, 2]) made.publish('browser/a', `现在天黑了 ${qos}`, { qos });
          made.publish('browser/large', 'x'.repeat(200_000), { qos: 1 });
        });
      }), [`ws://127.0.0.1:${running.ws}/mqtt`, protocolVersion]);
      for (const qos of [0, 1, 2]) check(heard.includes(`browser/a 现在天黑了 ${qos} ${qos}`), `at QoS ${qos} in version ${protocolVersion}: ${heard.map((one) => one.slice(0, 60))}`);
      check(heard.some((one) => one.startsWith('browser/large xxx') && one.length > 200_000), 'the large one');
    }
    await other.close();
  },
};

let failed = 0;
const desk = {};
for (const [name, run] of Object.entries(checks)) {
  if (only && only !== name) continue;
  try {
    await run.call(desk);
    console.log(`ok ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL ${name}: ${String(error.message).split('\n').slice(0, 6).join(' | ')}`);
    if (shots) await page.screenshot({ path: join(shots, `failed-${name}.png`) }).catch(() => {});
  }
}
for (const one of [desk.hostile, desk.long]) one?.end(true);
await chrome.close();
rmSync(profile, { recursive: true, force: true });
await stop(running);
process.exit(failed ? 1 : 0);
