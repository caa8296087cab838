import { describe, expect, test } from 'vitest';
import {
  addFilter,
  asksForSearches,
  clauseTexts,
  completionAt,
  lex,
  paint,
  quote,
  removeClause,
  utf16Offset,
  withoutSearches,
} from './query';

/** `kind:text` of every token that is not white space. */
function kinds(query: string): string {
  return lex(query)
    .filter((token) => token.kind !== 'space')
    .map((token) => `${token.kind}‹${query.slice(token.start, token.end)}›`)
    .join(' ');
}

test.each([
  ['', ''],
  ['error', 'word‹error›'],
  ['event_name:login.*', 'field‹event_name:› value‹login.*›'],
  ['-read_only:true', 'not‹-› field‹read_only:› value‹true›'],
  ['event_data.status:>=500', 'field‹event_data.status:› compare‹>=› value‹500›'],
  ['"connection reset"', 'phrase‹"connection reset"›'],
  ['"open \\" end', 'phrase‹"open \\" end›'],
  ['host:(web1 OR web2)', 'field‹host:› paren‹(› value‹web1› operator‹OR› value‹web2› paren‹)›'],
  ['a AND NOT b', 'word‹a› operator‹AND› operator‹NOT› word‹b›'],
  ['source_ip_address:2001:db8::/32', 'field‹source_ip_address:› value‹2001:db8::/32›'],
  ['username:/^ad.*/', 'field‹username:› regex‹/^ad.*/›'],
  ['severity:[0 TO 3]', 'field‹severity:› range‹[0 TO 3]›'],
  ['username:"a b" x', 'field‹username:› phrase‹"a b"› word‹x›'],
  ['ab-cd', 'word‹ab-cd›'],
  ['status:> 500 x', 'field‹status:› compare‹>› value‹500› word‹x›'],
  ['a && +b', 'word‹a› operator‹&&› not‹+› word‹b›'],
  [':x', 'word‹:› word‹x›'],
  ['naïve:é', 'field‹naïve:› value‹é›'],
])('lex %j', (query, expected) => {
  expect(kinds(query)).toBe(expected);
  // Every character belongs to exactly one token, or the colours would slide.
  expect(
    lex(query)
      .map((t) => query.slice(t.start, t.end))
      .join(''),
  ).toBe(query);
});

test('lex never loops or loses text on hostile input', () => {
  const alphabet = ['"', '\\', '(', ')', ':', '-', ' ', 'a', '/', '[', ']', '>', '*', 'é', '😀'];
  let seed = 7;
  for (let i = 0; i < 3000; i++) {
    let query = '';
    for (let n = 0; n < 12; n++) {
      seed = (seed * 1103515245 + 12345) & 0x7fffffff;
      query += alphabet[(seed >> 8) % alphabet.length];
    }
    expect(
      lex(query)
        .map((t) => query.slice(t.start, t.end))
        .join(''),
    ).toBe(query);
    completionAt(query, query.length);
  }
});

test.each([
  ['alice', 'alice'],
  ['a.b-c@d', 'a.b-c@d'],
  ['login.*', '"login.*"'],
  ['two words', '"two words"'],
  ['say "hi" \\ now', '"say \\"hi\\" \\\\ now"'],
  ['OR', '"OR"'],
  ['', '""'],
  ['-5', '"-5"'],
  ['/etc/passwd', '"/etc/passwd"'],
])('quote %j', (value, expected) => {
  expect(quote(value)).toBe(expected);
});

describe('addFilter', () => {
  const cases: [query: string, field: string, value: string | null, out: boolean, expected: string][] = [
    ['', 'username', 'alice', false, 'username:alice'],
    ['error', 'username', 'alice', true, 'error -username:alice'],
    ['username:alice', 'username', 'alice', false, 'username:alice'],
    ['username:alice x', 'username', 'alice', true, '-username:alice x'],
    ['-username:alice', 'username', 'alice', false, 'username:alice'],
    ['a OR b', 'username', 'alice', false, '(a OR b) username:alice'],
    ['(a OR b) c', 'username', 'alice', false, '(a OR b) c username:alice'],
    ['host:(a OR b)', 'host', 'c', true, 'host:(a OR b) -host:c'],
    ['', 'outcome', null, false, '-outcome:*'],
    ['-outcome:*', 'outcome', null, true, 'outcome:*'],
    ['', 'event_data.a b', 'x y', false, 'event_data.a\\ b:"x y"'],
    ['username:"a b" z', 'username', 'a b', true, '-username:"a b" z'],
  ];
  test.each(cases)('%j with %s=%j (out %s)', (query, field, value, out, expected) => {
    expect(addFilter(query, { field, value, out })).toBe(expected);
  });
});

test('clauses can be taken out one by one', () => {
  const query = 'username:"a b"  -host:(x OR y) error';
  expect(clauseTexts(query)).toEqual(['username:"a b"', '-host:(x OR y)', 'error']);
  expect(removeClause(query, 1)).toBe('username:"a b" error');
  expect(clauseTexts('a OR b')).toEqual([]);
});

/** `|` is the caret. */
test.each([
  ['|', 'field', '', undefined],
  ['us|', 'field', 'us', undefined],
  ['a -us|', 'field', 'us', undefined],
  ['username:|', 'value', '', 'username'],
  ['username:al|', 'value', 'al', 'username'],
  ['username:al|ice', 'value', 'al', 'username'],
  ['username:"al b|', 'value', 'al b', 'username'],
  ['user|name:x', 'field', 'user', undefined],
  ['host:(web1 OR |', 'value', '', 'host'],
  ['host:(web1 OR we|)', 'value', 'we', 'host'],
  ['(|', 'field', '', undefined],
])('completion at %s', (text, kind, prefix, field) => {
  const caret = text.indexOf('|');
  const found = completionAt(text.replace('|', ''), caret);
  expect(found && { kind: found.kind, prefix: found.prefix, field: found.field }).toEqual({
    kind,
    prefix,
    field,
  });
});

test.each(['username:/ab|', 'severity:[0 TO 3|]', '"a phr|', '(a)|'])('no completion at %s', (text) => {
  expect(completionAt(text.replace('|', ''), text.indexOf('|'))).toBeNull();
});

test.each([
  ['abc', 2, 2],
  ['é:x', 3, 2],
  ['😀 x', 5, 3],
  ['abc', 99, 3],
])('utf16Offset(%j, %i)', (text, byte, offset) => {
  expect(utf16Offset(text, byte)).toBe(offset);
});

test.each([
  ['a:b c', undefined, 'a:|b| |c'],
  ['a:b c', { start: 2, end: 3 }, 'a:|!b| |c'],
  ['abcdef', { start: 2, end: 4 }, 'ab|!cd|ef'],
  ['a (b c', { start: 2, end: 6 }, 'a| |!(|!b|! |!c'],
  ['a:', { start: 2, end: 2 }, 'a:|! '],
  ['', { start: 0, end: 0 }, '! '],
])('paint %j with %j', (query, mark, expected) => {
  expect(
    paint(query, mark)
      .map((p) => (p.bad ? '!' : '') + p.text)
      .join('|'),
  ).toBe(expected);
});

test.each([
  ['', '-event_name:search.*'],
  [' a OR b ', '(a OR b) -event_name:search.*'],
  ['x:"(" y', '(x:"(" y) -event_name:search.*'],
  // Parentheses around these would mend them, or make them mean something else.
  ['a) OR (b', 'a) OR (b'],
  ['(a', '(a'],
  ['"a', '"a'],
  ['x:/a', 'x:/a'],
  ['a\\', 'a\\'],
])('withoutSearches(%j)', (query, expected) => {
  expect(withoutSearches(query)).toBe(expected);
});

test.each([
  ['event_name:search.run', true],
  ['event_name:(login.* OR "search.run")', true],
  ['-event_source:attestry', true],
  ['event_name:login.* search', false],
  ['', false],
])('asksForSearches(%j) is %s', (query, expected) => {
  expect(asksForSearches(query)).toBe(expected);
});
