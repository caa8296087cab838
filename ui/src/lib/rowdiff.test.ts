import { describe, expect, test } from 'vitest';
import { changedSpans, compareRows, show, SHOWN_CHARS } from './rowdiff';
import type { Field } from './watch-api';

const field = (column: string, value: string | null, masked = false): Field => ({ column, value, masked });

describe('rows are compared column by column', () => {
  const cases: [what: string, before: Field, after: Field, difference: string][] = [
    ['equal', field('a', '1'), field('a', '1'), 'same'],
    ['a change of case', field('a', 'Ann'), field('a', 'ann'), 'differs'],
    ['a trailing space', field('a', 'ann'), field('a', 'ann '), 'differs'],
    ['NULL and empty text', field('a', null), field('a', ''), 'differs'],
    ['NULL and the text NULL', field('a', null), field('a', 'NULL'), 'differs'],
    ['NULL and NULL', field('a', null), field('a', null), 'same'],
    ['NULL and a masked value', field('a', null), field('a', null, true), 'differs'],
    ['masked and masked', field('a', null, true), field('a', null, true), 'masked'],
    ['masked, and the violation is about it', field('b', null, true), field('b', null, true), 'differs'],
  ];
  test.each(cases)('%s', (_, before, after, difference) => {
    expect(compareRows([before], [after], 'b').map((line) => line.difference)).toEqual([difference]);
  });

  test('a new row, a deleted one, and a column that came with a change of the schema', () => {
    const row = [field('id', '7'), field('x', null)];
    expect(compareRows(null, row).map((line) => line.difference)).toEqual(['alone', 'alone']);
    expect(compareRows(row, null).map(({ column, after }) => [column, after])).toEqual([
      ['id', null],
      ['x', null],
    ]);
    expect(
      compareRows(row, [field('new', ''), field('id', '7')]).map((l) => [l.column, l.difference]),
    ).toEqual([
      ['new', 'differs'],
      ['id', 'same'],
      ['x', 'differs'],
    ]);
  });
});

test.each([
  ['5.00', '500.00', '', '00'],
  ['same', 'same', '', ''],
  ['', 'all', '', 'all'],
  ['ann', 'ann ', '', ' '],
  ['aaa', 'aa', 'a', ''],
  ['0.1', '0.10000000000000002', '', '0000000000000002'],
  // The two share the high surrogate.
  ['x😀y', 'x😁y', '😀', '😁'],
  // They share the low surrogate.
  ['\u{1f600}', '\u{1fa00}', '\u{1f600}', '\u{1fa00}'],
  ['\\x00ff10', '\\x00fe10', 'ff', 'fe'],
  ['\\x', '\\x00', '', '00'],
])('what differs between %j and %j', (a, b, inA, inB) => {
  const [of, to] = changedSpans(a, b);
  expect([a.slice(of.start, of.end), b.slice(to.start, to.end)]).toEqual([inA, inB]);
});

describe('a value for the eye', () => {
  test('spaces at the edges, and what would not be seen, are told apart', () => {
    const shown = show(' a b\u202e\tc\u00a0 ', null, SHOWN_CHARS);
    expect(shown.pieces.map(({ text, kind }) => `${kind}:${text}`)).toEqual([
      'blank: ',
      'text:a b',
      'sign:U+202E',
      'sign:\\t',
      'text:c',
      'sign:U+00A0',
      'blank: ',
    ]);
  });

  test('the difference is marked', () => {
    const marked = show('500.00', { start: 1, end: 3 }, SHOWN_CHARS).pieces;
    expect(marked).toEqual([
      { text: '5', kind: 'text', marked: false },
      { text: '00', kind: 'text', marked: true },
      { text: '.00', kind: 'text', marked: false },
    ]);
  });

  test('a long one is cut about its difference, and says what it leaves out', () => {
    const text = 'a'.repeat(5000) + 'X' + 'b'.repeat(5000);
    const cut = show(text, { start: 5000, end: 5001 }, SHOWN_CHARS);
    expect(cut.pieces.find((piece) => piece.marked)?.text).toBe('X');
    expect(cut.before + cut.after + SHOWN_CHARS).toBe(text.length);
    expect(cut.before).toBeGreaterThan(4900);
    const whole = show(text, null, Infinity);
    expect([whole.before, whole.after]).toEqual([0, 0]);
    expect(whole.pieces.map((piece) => piece.text).join('')).toBe(text);
  });

  test('a cut never halves a character', () => {
    for (const lead of ['', 'a']) {
      const cut = show(lead + '😀'.repeat(1000), { start: 1001, end: 1003 }, SHOWN_CHARS);
      expect(cut.pieces.every((piece) => piece.kind === 'text')).toBe(true);
    }
  });
});
