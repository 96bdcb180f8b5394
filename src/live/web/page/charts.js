// Small line charts of the last five minutes.
import { h, put } from './dom.js';

const SPAN = 300;
const NS = 'http://www.w3.org/2000/svg';

function s(name, attributes, text) {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

/** The next round number that is not below. */
function ceiling(value) {
  if (value <= 4) return 4;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 5, 10].map((step) => step * power).find((round) => round >= value);
}

/** A chart of up to two series: `[{ name, of: (sample) => number }]`; `words` makes text of a number. */
export class Chart {
  constructor(title, series, words) {
    this.series = series;
    this.words = words;
    this.keys = series.map(({ name }, place) => h(place ? 'span.key.second' : 'span.key', {}, `${name} `, h('b', {}, '–')));
    this.plot = s('svg', { role: 'img', 'aria-label': title });
    this.element = h('section.card.chart', {}, h('header', {}, h('h2', {}, title), this.keys), this.plot);
    this.plot.addEventListener('pointermove', (event) => this.point(event));
    this.plot.addEventListener('pointerleave', () => this.point(null));
    this.samples = [];
  }

  show(samples) {
    this.samples = samples;
    this.draw();
  }

  point(event) {
    this.pointed = event ? event.clientX - this.plot.getBoundingClientRect().left : undefined;
    this.draw();
  }

  draw() {
    const width = this.plot.clientWidth;
    const height = 150;
    if (!width) return;
    const [left, right, top, bottom] = [46, 4, 8, 20];
    const last = this.samples.at(-1);
    const end = last?.at ?? 0;
    const highest = ceiling(Math.max(0, ...this.samples.flatMap((sample) => this.series.map(({ of }) => of(sample)))));
    const x = (sample) => left + (width - left - right) * (1 - (end - sample.at) / SPAN);
    const y = (value) => top + (height - top - bottom) * (1 - value / highest);
    const parts = [];
    for (const share of [0, 0.5, 1]) {
      const at = y(highest * share);
      parts.push(s('line', { class: 'grid', x1: left, x2: width - right, y1: at, y2: at }));
      parts.push(s('text', { x: left - 8, y: at + 4, 'text-anchor': 'end' }, this.words(highest * share)));
    }
    for (const [seconds, word] of [[300, '5 min ago'], [150, ''], [0, 'now']]) {
      const at = left + (width - left - right) * (1 - seconds / SPAN);
      if (word) parts.push(s('text', { x: at, y: height - 4, 'text-anchor': seconds ? 'start' : 'end' }, word));
    }
    const seen = this.samples.filter((sample) => end - sample.at <= SPAN);
    this.series.forEach(({ of }, place) => {
      if (seen.length < 2) return;
      const line = seen.map((sample) => `${x(sample).toFixed(1)},${y(of(sample)).toFixed(1)}`).join(' ');
      const second = place ? ' second' : '';
      parts.push(s('polygon', { class: `area${second}`, points: `${x(seen[0])},${y(0)} ${line} ${x(seen.at(-1))},${y(0)}` }));
      parts.push(s('polyline', { class: `line${second}`, points: line }));
    });
    let told = last;
    if (this.pointed !== undefined && seen.length) {
      told = seen.reduce((best, sample) => (Math.abs(x(sample) - this.pointed) < Math.abs(x(best) - this.pointed) ? sample : best));
      parts.push(s('line', { class: 'cursor', x1: x(told), x2: x(told), y1: top, y2: height - bottom }));
    }
    this.series.forEach(({ of }, place) => put(this.keys[place].querySelector('b'), told ? this.words(of(told)) : '–'));
    this.plot.setAttribute('viewBox', `0 0 ${width} ${height}`);
    this.plot.replaceChildren(...parts);
  }
}
