import type { Histogram } from './api';

export interface Layer {
  /** The field's value; '' for events that lack it or have one that is not shown. */
  value: string;
  /** Its rank among the values, which fixes its colour. */
  place: number;
  counts: number[];
}

export interface Stacked {
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
  const bound = (time: string, otherwise: number) =>
    isNaN(Date.parse(time)) ? otherwise : Date.parse(time) / 1000;
  return {
    starts,
    step,
    from: bound(histogram.from, first),
    to: bound(histogram.to, last),
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
