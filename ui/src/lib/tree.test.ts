import { expect, test } from 'vitest';
import { parseJson, type JsonObject } from './json';
import { treeRows } from './tree';

const event = parseJson(
  '{"v":1,"username":"a","via":["r1","r2"],"event_data":{"n":1.10,"list":[{"x":1},{"x":null}],"empty":{},"ok":true}}',
) as JsonObject;

test('rows follow the written order, with the path of the search language', () => {
  expect(
    treeRows(event, new Set()).map(
      (r) => `${'  '.repeat(r.depth)}${r.label} ${r.field} ${r.kind} ${r.value ?? r.size}`,
    ),
  ).toEqual([
    'v v number 1',
    'username username string a',
    'via via branch 2',
    '  0 via string r1',
    '  1 via string r2',
    'event_data event_data branch 4',
    '  n event_data.n number 1.10',
    '  list event_data.list branch 2',
    '    0 event_data.list branch 1',
    '      x event_data.list.x number 1',
    '    1 event_data.list branch 1',
    '      x event_data.list.x null null',
    '  empty event_data.empty branch 0',
    '  ok event_data.ok bool true',
  ]);
});

test('a closed branch hides what is in it', () => {
  const rows = treeRows(event, new Set(['event_data/list', 'via']));
  expect(rows.map((r) => r.id)).toEqual([
    'v',
    'username',
    'via',
    'event_data',
    'event_data/n',
    'event_data/list',
    'event_data/empty',
    'event_data/ok',
  ]);
  expect(rows.filter((r) => !r.searchable).map((r) => r.id)).toEqual([
    'v',
    'via',
    'event_data',
    'event_data/list',
    'event_data/empty',
  ]);
});

test('a large value is one line, with its hash and size', () => {
  const hash = 'ab'.repeat(32);
  const large = parseJson(`{"message":{"$ref":"sha256:${hash}","bytes":5000}}`) as JsonObject;
  expect(treeRows(large, new Set())).toMatchObject([
    { field: 'message', kind: 'large', value: hash, size: 5000, searchable: false },
  ]);
});
