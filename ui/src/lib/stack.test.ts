import { expect, test } from 'vitest';
import { stack } from './stack';

const bucket = (time: string, count: number, by?: Record<string, number>) => ({
  time,
  count,
  ...(by ? { by } : {}),
});
const histogram = {
  from: '2026-01-01T00:00:00Z',
  to: '2026-01-01T00:02:00Z',
  interval_s: 60,
  buckets: [
    bucket('2026-01-01T00:00:00Z', 6, { success: 3, failure: 1 }),
    bucket('2026-01-01T00:01:00Z', 2, { failure: 2 }),
  ],
  by_values: ['failure', 'success'],
};

test('layers add up to the bars, failures on top, what lacks the field below', () => {
  const { layers, sums, totals, starts, from, to } = stack(histogram, 'outcome');
  expect(layers.map((layer) => [layer.value, layer.counts])).toEqual([
    ['', [2, 0]],
    ['success', [3, 0]],
    ['failure', [1, 2]],
  ]);
  expect(sums).toEqual([
    [2, 0],
    [5, 0],
    [6, 2],
  ]);
  expect(sums.at(-1)).toEqual(totals);
  expect([starts[1], from, to]).toEqual([1767225660, 1767225600, 1767225720]);
});

test('values beyond those named fall into the rest', () => {
  const { layers } = stack({ ...histogram, by_values: ['success'] }, 'username');
  expect(layers.map((layer) => [layer.value, layer.counts])).toEqual([
    ['', [3, 2]],
    ['success', [3, 0]],
  ]);
});

test('without a field there is one layer, and an empty answer has bars of nothing', () => {
  expect(stack(histogram, '').layers.map((layer) => layer.counts)).toEqual([[6, 2]]);
  expect(stack({ ...histogram, buckets: [], from: '', to: '' }, '')).toMatchObject({
    starts: [],
    totals: [],
    from: 0,
    to: 60,
  });
});
