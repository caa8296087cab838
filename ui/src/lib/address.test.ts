import { expect, test } from 'vitest';
import { DEFAULT_COLUMNS, readAddress, writeAddress, type Address } from './address';
import { ALL_TIME } from './time';

const base: Address = {
  page: 'search',
  q: '',
  range: ALL_TIME,
  ledgers: [],
  columns: DEFAULT_COLUMNS,
  by: 'outcome',
  order: 'desc',
  event: '',
  live: false,
  searches: false,
  cell: '',
  gaps: false,
  watch: '',
  table: '',
  state: 'pending',
  violation: '',
  alertState: 'active',
  level: '',
  rule: '',
  alert: '',
  rules: false,
  report: '',
};

const cases: [what: string, view: Partial<Address>, address: string][] = [
  ['nothing chosen', {}, '/search?from=all'],
  [
    'a query',
    { q: 'username:"a b" -x:é&y=1#z' },
    '/search?q=username:%22a+b%22+-x:%C3%A9%26y%3D1%23z&from=all',
  ],
  ['a relative range', { range: { from: '-24h', to: 'now' } }, '/search?from=-24h&to=now'],
  [
    'an absolute range',
    { range: { from: '2026-01-01T00:00:00.000Z', to: '' } },
    '/search?from=2026-01-01T00:00:00.000Z',
  ],
  ['an open start', { range: { from: '', to: 'now' } }, '/search?from=all&to=now'],
  [
    'ledgers and an event',
    { ledgers: ['audit', 'logs'], event: 'audit/17' },
    '/search?from=all&ledger=audit,logs&event=audit/17',
  ],
  [
    'columns, even with a colon in their name',
    {
      columns: [
        { field: 'event_data.a:5', width: 90 },
        { field: 'message', width: 0 },
      ],
    },
    '/search?from=all&col=event_data.a:5:90&col=message:0',
  ],
  [
    'the rest',
    { by: 'severity', order: 'asc', live: true, searches: true },
    '/search?from=all&by=severity&order=asc&live=1&searches=1',
  ],
  ['no stack', { by: '' }, '/search?from=all&by='],
  ['another page', { page: 'ledgers' }, '/ledgers'],
  [
    'a cell of the coverage',
    {
      page: 'coverage',
      range: { from: '-7d', to: 'now' },
      ledgers: ['logs'],
      gaps: true,
      cell: '["web1","a b","2026-11-21T10:00:00.000Z"]',
    },
    '/coverage?from=-7d&to=now&ledger=logs&gaps=1&cell=%5B%22web1%22,%22a+b%22,%222026-11-21T10:00:00.000Z%22%5D',
  ],
  ['watched databases', { page: 'databases' }, '/databases'],
  [
    'a violation among those of a table',
    { page: 'databases', watch: 'bank', table: 'a&b', state: 'all', violation: 'b2/x' },
    '/databases?watch=bank&table=a%26b&violation=b2/x&state=all',
  ],
  ['alerts', { page: 'alerts' }, '/alerts'],
  [
    'an alert among the bad ones of a rule',
    { page: 'alerts', alertState: 'all', level: 'high', rule: 'login-root', alert: '84fd94fd8d24653687d8' },
    '/alerts?state=all&level=high&rule=login-root&id=84fd94fd8d24653687d8',
  ],
  ['the rules', { page: 'alerts', rules: true }, '/alerts?rules=1'],
  ['a report', { page: 'reports', report: '0198-f1' }, '/reports?report=0198-f1'],
];
test.each(cases)('%s goes into the address and comes back', (_, change, address) => {
  const view = { ...base, ...change };
  expect(writeAddress(view)).toBe(address);
  const url = new URL(address, 'http://x');
  expect(readAddress(url.pathname, url.search, ALL_TIME)).toEqual(view);
});

test('what makes no sense falls back', () => {
  const fallback = { from: '-1h', to: 'now' };
  const view = readAddress(
    '/nowhere',
    '?from=lunch&to=now&col=x:1&order=up&event=17&col=y&state=open',
    fallback,
  );
  expect(view).toEqual({
    ...base,
    range: fallback,
    columns: [
      { field: 'x', width: 48 },
      { field: 'y', width: 160 },
    ],
  });
});
