import { describe, expect, test } from 'vitest';
import { keyWords, lagWords, merge, passWords, pendingOf, rowQuery } from './databases';
import type { Violation, Watch } from './watch-api';

const one = (fingerprint: string, opened: string, more: Partial<Violation> = {}): Violation => ({
  fingerprint,
  watch: 'bank',
  table: 'accounts',
  key: [{ column: 'id', value: '7' }],
  rule: 'default',
  description: '',
  opened,
  last_seen: opened,
  count: 1,
  ...more,
});

test.each([
  [0, '0 ms'],
  [999, '999 ms'],
  [1000, '1 s'],
  [7_200_000, '2 h'],
])('%d ms behind', (ms, words) => expect(lagWords(ms)).toBe(words));

test.each([
  [0, 'less than 1 s'],
  [1, '1 s'],
  [412, '7 min'],
])('a comparison of %d s', (seconds, words) => expect(passWords(seconds)).toBe(words));

describe('the row of a violation', () => {
  const row = one('a', '', {
    watch: 'main bank',
    table: 'order.lines',
    key: [
      { column: 'order id', value: '7' },
      { column: 'line', value: '-1 "x"' },
      { column: 'secret', value: null, masked: true },
    ],
  });
  test('is named', () => expect(keyWords(row.key)).toBe('order id=7, line=-1 "x", secret=masked'));
  const found: [what: string, row: Violation, query: string][] = [
    [
      'by a key of several columns',
      row,
      'event_source:"main bank" event_data.table:order.lines ' +
        '((event_data.key.order\\ id:7 event_data.key.line:"-1 \\"x\\"") OR ' +
        '(event_data.new_key.order\\ id:7 event_data.new_key.line:"-1 \\"x\\""))',
    ],
    [
      'by bytes',
      one('a', '', { key: [{ column: 'id', value: '\\x00ff' }] }),
      'event_source:bank event_data.table:accounts (event_data.key.id.hex:00ff OR event_data.new_key.id.hex:00ff)',
    ],
    [
      'by the key that it had and the one that it got',
      one('a', '', {
        old: [{ column: 'id', value: '7' }],
        new: [
          { column: 'n', value: '1' },
          { column: 'id', value: '9' },
        ],
      }),
      'event_source:bank event_data.table:accounts ' +
        '(event_data.key.id:7 OR event_data.new_key.id:7 OR event_data.key.id:9 OR event_data.new_key.id:9)',
    ],
    ['not, of a whole table', one('a', '', { key: [] }), 'event_source:bank event_data.table:accounts'],
    [
      'not, by a masked key',
      one('a', '', { key: [{ column: 'id', value: null, masked: true }] }),
      'event_source:bank event_data.table:accounts',
    ],
  ];
  test.each(found)('is found %s', (_, of, query) => expect(rowQuery(of)).toBe(query));
});

test('pending violations are those of what is chosen', () => {
  const table = (name: string, pending: number) => ({ name, pending }) as Watch['tables'][number];
  const watches = [
    { name: 'bank', pending: 5, tables: [table('accounts', 3), table('log', 2)] },
    { name: 'shop', pending: 7, tables: [table('log', 7)] },
  ] as Watch[];
  const of = (watch: string, name: string) => pendingOf(watches, { watch, table: name, state: 'pending' });
  expect([of('', ''), of('bank', ''), of('', 'log'), of('shop', 'log'), of('shop', 'none')]).toEqual([
    12, 5, 9, 7, 0,
  ]);
});

describe('the list goes on', () => {
  const [a, b, c, d] = ['a4', 'b3', 'c2', 'd1'].map((name) => one(name, name.slice(1)));
  const cases: [
    what: string,
    known: (Violation | undefined)[],
    fetched: (Violation | undefined)[],
    more: boolean,
    hold: boolean,
    list: string,
    waiting: string,
  ][] = [
    ['first', [], [a, b], true, true, 'a4 b3', ''],
    ['a new one shows', [b, c], [a, b, c], false, false, 'a4 b3 c2', ''],
    ['a new one waits', [b, c], [a, b, c], false, true, 'b3 c2', 'a4'],
    ['one was signed off', [a, b, c], [a, c], false, true, 'a4 c2', ''],
    ['an older one moves up', [a, b], [a, c], true, true, 'a4 c2', ''],
    ['what is older than the answer stays', [a, b, c, d], [a, b], true, true, 'a4 b3 c2 d1', ''],
    ['nothing is older than a whole answer', [a, b, c, d], [a, b], false, true, 'a4 b3', ''],
    ['none is left', [a], [], false, true, '', ''],
  ];
  test.each(cases)('%s', (_, known, fetched, more, hold, list, waiting) => {
    const all = (of: (Violation | undefined)[]) => of.filter((v) => v !== undefined);
    const merged = merge(all(known), { violations: all(fetched), more }, hold);
    const names = (of: Violation[]) => of.map(({ fingerprint }) => fingerprint).join(' ');
    expect([names(merged.list), names(merged.waiting)]).toEqual([list, waiting]);
  });
});
