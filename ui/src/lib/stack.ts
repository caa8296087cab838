import type { Histogram, Row } from './api';
import { lookup, scalarText } from './json';

/** A live histogram grows by at most this many bars at once. */
const GROW_BARS = 1000;
/** A shorter range than this has no room for labels of its times. */
const RANGE_S = 3;
/** As many values get a colour of their own as the server names. */
const NAMED = 10;

export interface Layer {
  /** The field's value; '' for events that lack it or have one that is not named. */
  value: string;
  /** Its rank among the values, which fixes its colour. */
  place: number;
  counts: number[];
}

export interface Stacked {
  /** Some of the events in the layer '' have the field, with a value that is not named. */
  others: boolean;
  /** Seconds since 1970 at which each bar begins. */
  starts: number[];
  step: number;
  from: number;
  to: number;
  layers: Layer[];
  /** For each layer, the height of its top: its own counts and those below. */
  sums: number[][];
  totals: number[];
}

/** The layers of the histogram, bottom first: what lacks the field, then the most frequent value, and so on upwards. */
export function stack(histogram: Histogram, by: string): Stacked {
  const { buckets, interval_s: step } = histogram;
  const starts = buckets.map((bucket) => Date.parse(bucket.time) / 1000);
  const totals = buckets.map((bucket) => bucket.count);
  const named = by === '' ? [] : (histogram.by_values ?? []).filter((value) => value !== '');
  const layers: Layer[] = named.map((value, place) => ({
    value,
    place,
    counts: buckets.map((bucket) => bucket.by?.[value] ?? 0),
  }));
  const rest = totals.map(
    (total, i) => total - layers.reduce((sum, layer) => sum + (layer.counts[i] ?? 0), 0),
  );
  if (rest.some((n) => n > 0) || layers.length === 0) layers.unshift({ value: '', place: -1, counts: rest });
  // Failures stand on top, where they are seen.
  layers.sort((a, b) => weight(by, a) - weight(by, b));
  const sums: number[][] = [];
  for (const layer of layers) {
    const below = sums[sums.length - 1];
    sums.push(layer.counts.map((n, i) => n + (below?.[i] ?? 0)));
  }
  const first = starts[0] ?? 0;
  const last = (starts[starts.length - 1] ?? first) + step;
  const margin = Math.max(0, (RANGE_S - (last - first)) / 2);
  return {
    others: (histogram.more_values ?? 0) > 0,
    starts,
    step,
    from: first - margin,
    to: last + margin,
    layers,
    sums,
    totals,
  };
}

function weight(by: string, layer: Layer): number {
  if (by === 'outcome') return ['', 'success', 'failure'].indexOf(layer.value);
  if (by === 'severity') return layer.value === '' ? -1 : 8 - Number(layer.value);
  return layer.place;
}

/** The histogram with the events that a live list received since; without asking the server again. */
export function grow(histogram: Histogram, by: string, rows: Row[]): Histogram {
  const step = histogram.interval_s * 1000;
  const buckets = histogram.buckets.map((bucket) => ({ ...bucket, by: { ...bucket.by } }));
  const first = Date.parse(buckets[0]?.time ?? '');
  if (isNaN(first) || !(step > 0)) return histogram;
  let { count, more_values = 0 } = histogram;
  const by_values = [...(histogram.by_values ?? [])];
  for (const row of rows) {
    const place = Math.floor((Date.parse(scalarText(row.event.get('event_time'))) - first) / step);
    // An event of long ago, or of a clock far ahead, is in the list and in no bar.
    if (isNaN(place) || place < 0 || place > buckets.length + GROW_BARS) continue;
    while (place >= buckets.length)
      buckets.push({ time: new Date(first + buckets.length * step).toISOString(), count: 0, by: {} });
    const bucket = buckets[place];
    if (!bucket) continue;
    bucket.count++;
    count++;
    const value = by === '' ? undefined : lookup(row.event, by);
    if (value === undefined || value === null) continue;
    const name = scalarText(value);
    if (!by_values.includes(name)) {
      if (by_values.length < NAMED) by_values.push(name);
      else more_values++;
    }
    bucket.by[name] = (bucket.by[name] ?? 0) + 1;
  }
  const last = buckets[buckets.length - 1]?.time ?? histogram.to;
  return {
    ...histogram,
    buckets,
    count,
    by_values,
    more_values,
    to: new Date(Date.parse(last) + step).toISOString(),
  };
}
