import { expect, test } from 'vitest';
import { localOffers } from './completion';

const fields = [
  { name: 'event_name', kind: 'keyword' },
  { name: 'username', kind: 'keyword' },
  { name: 'event_data.http.status', kind: 'number' },
  { name: 'event_data.user agent', kind: 'keyword' },
];

test.each([
  ['', ['event_name:', 'username:', 'event_data.http.status:', 'event_data.user\\ agent:']],
  ['us', ['username:', 'event_data.user\\ agent:', 'event_data.http.status:']],
  ['STATUS', ['event_data.http.status:']],
  ['a O', ['OR ']],
  ['username:', ['* ']],
  ['event_data.http.status:', ['* ', '>=', '<', '[']],
  ['username:al', []],
])('offers for %j', (query, inserts) => {
  expect(localOffers(query, query.length, fields)?.items.map((item) => item.insert)).toEqual(inserts);
});
