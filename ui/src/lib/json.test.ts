import { describe, expect, test } from 'vitest';
import { ExactNumber, lookup, parseJson, printJson, scalarText, type JsonObject } from './json';

describe('parseJson', () => {
  const same = [
    '{"a":1}',
    '[]',
    '{}',
    '"\\u00e9\\n\\"\\\\\\/"',
    '{"b":{"2":1,"1":2}}',
    '[1,-2,3.5,true,false,null]',
    ' { "a" : [ 1 , 2 ] } ',
    '"\\ud83d\\ude00"',
  ];
  test.each(same)('reads %s as JSON.parse does', (text) => {
    expect(JSON.parse(printJson(parseJson(text)))).toEqual(JSON.parse(text));
  });

  const broken = [
    '',
    '{',
    '[1,]',
    '{"a"}',
    '{"a":1,}',
    '01',
    '"\u0001"',
    '"\\x"',
    '"\\u12g4"',
    '1 2',
    'nul',
    '"abc',
    "{'a':1}",
  ];
  test.each(broken)('refuses %j', (text) => {
    expect(() => parseJson(text)).toThrow(SyntaxError);
  });

  test.each(['9007199254740993', '1e5', '1.0', '0.10', '-0', '123456789012345678901234567890'])(
    'keeps the token %s',
    (token) => {
      expect(parseJson(token)).toEqual(new ExactNumber(token));
      expect(printJson(parseJson(`{"n":${token}}`))).toBe(`{\n  "n": ${token}\n}`);
    },
  );

  test('keeps the order of members, also of those that look like numbers', () => {
    expect([...(parseJson('{"b":1,"2":2,"1":3,"__proto__":4}') as JsonObject).keys()]).toEqual([
      'b',
      '2',
      '1',
      '__proto__',
    ]);
  });
});

describe('lookup', () => {
  const event = parseJson(
    '{"username":"a","event_data":{"http":{"status":200},"a.b":{"c":1},"list":[{"x":1},{"x":2},{"y":3}],"one":[{"x":7}]}}',
  ) as JsonObject;
  test.each([
    ['username', 'a'],
    ['event_data.http.status', '200'],
    ['event_data.a.b.c', '1'],
    ['event_data.list.x', '1, 2'],
    ['event_data.one.x', '7'],
    ['event_data.nothing', ''],
    ['username.x', ''],
  ])('%s is %j', (path, text) => {
    expect(scalarText(lookup(event, path))).toBe(text);
  });
});

test.each([
  ['{"a":1,"b":{"c":2}}', '{a: 1, b: …}'],
  ['[1,"x",null]', '1, x, null'],
  ['[1,[2]]', '[1, …]'],
  [`{"$ref":"sha256:${'ab'.repeat(32)}","bytes":5000}`, '(large value, 5000 bytes)'],
  ['{"$ref":"x","bytes":5000}', '{$ref: x, bytes: 5000}'],
])('scalarText of %s', (text, out) => {
  expect(scalarText(parseJson(text))).toBe(out);
});
