/** Two watched databases and what broke their rules, the same on every run but for the clock. */
import { random } from './data.ts';

interface Field {
  column: string;
  value: string | null;
  masked?: boolean;
}

interface Violation {
  fingerprint: string;
  watch: string;
  table: string;
  field?: string;
  key: Field[];
  opened: string;
  old?: Field[] | null;
  new?: Field[] | null;
  signed_off?: { by: string; at: string; reason: string };
  [more: string]: unknown;
}

export interface Databases {
  watches(): object[];
  violations(params: URLSearchParams): {
    violations: Violation[];
    more: boolean;
    unreadable?: { watch: string; why: string }[];
  };
  /** The copy of this watch cannot be read from now on; none: all can. */
  damage(watch: string | null): void;
  /** Null when there is no such violation. */
  history(fingerprint: string): object[] | null;
  /** Why it is refused; null when it is done. */
  signOff(fingerprints: string[], reason: string, by: string): { status: number; detail: string } | null;
  /** Somebody cheats. */
  open(): void;
}

const NOTE = `Standing order 4711, to be paid on the first of each month until it is revoked in writing. ${'The parties agree on everything. '.repeat(40)}`;

export function makeDatabases(now: number, eventId: string): Databases {
  const next = random(5);
  const int = (low: number, high: number) => low + Math.floor(next() * (high - low + 1));
  const field = (column: string, value: string | null): Field => ({ column, value });
  const at = (seconds: number, nanos = '000000000') =>
    new Date(now - seconds * 1000).toISOString().replace(/\.\d+Z$/, `.${nanos}Z`);
  let serial = 0;
  const list: Violation[] = [];
  const add = (seconds: number, more: Partial<Violation>) => {
    const opened = at(seconds, String(int(0, 999_999)).padStart(6, '0') + '000');
    list.push({
      fingerprint: `${(0x3f2a81c0 + serial * 7919).toString(16)}-${String(serial++).padStart(4, '0')}`,
      watch: 'bank',
      table: 'accounts',
      key: [field('id', String(int(1, 900)))],
      rule: 'default',
      description: '',
      last_seen: opened,
      count: 1,
      event_id: eventId,
      account: 'app_rw@10.20.0.4',
      opened,
      ...more,
    });
  };
  const account = (id: string, more: Record<string, string | null>): Field[] => {
    const row: Record<string, string | null> = {
      id,
      owner: 'Ann Example',
      iban: 'DE02120300000000202051',
      balance: '5.00',
      note: null,
      seal: '\\x00ff1042',
      ...more,
    };
    const fields = Object.entries(row).map(([column, value]) => field(column, value));
    return [...fields.slice(0, 2), { column: 'password', value: null, masked: true }, ...fields.slice(2)];
  };

  add(95, {
    field: 'balance',
    key: [field('id', '7')],
    description: 'Field balance is different (5.00 -- 500.00)',
    last_seen: at(20),
    count: 3,
    old: account('7', { note: NOTE }),
    new: account('7', {
      balance: '500.00',
      note: NOTE.replace('revoked in writing', 'revoked in Writing'),
      seal: '\\x00fe1042',
    }),
  });
  add(410, {
    key: [field('id', '12')],
    description: 'Row was deleted',
    account: undefined,
    old: account('12', { owner: 'Bob \u202eelpmaxE ' }),
    new: null,
  });
  add(900, {
    field: 'password',
    key: [field('id', '9')],
    rule: 'password_set_by_owner',
    description: 'the password was changed by somebody else',
    old: account('9', { note: '' }),
    new: account('9', { note: null }),
  });
  add(1300, {
    table: 'transfers',
    key: [],
    rule: 'debits_equal_credits',
    description: 'sum of debits 18,402.17 differs from sum of credits 18,897.17 by 495.00',
    account: undefined,
    event_id: undefined,
  });
  add(1900, {
    watch: 'shop',
    table: 'order_lines',
    key: [field('order_id', '10422'), field('line', '3')],
    field: 'price',
    rule: 'price_fixed',
    description: 'the price of an order that is paid was changed',
    old: Array.from({ length: 14 }, (_, i) => field(i === 0 ? 'order_id' : `c${i}`, String(i))),
    new: Array.from({ length: 14 }, (_, i) =>
      field(i === 0 ? 'order_id' : `c${i}`, String(i === 5 ? 55 : i)),
    ),
  });
  // One transaction that changed many rows: all of the same instant.
  const many = at(5400, '123456000');
  for (let i = 0; i < 260; i++)
    add(5400, {
      opened: many,
      last_seen: many,
      table: 'transfers',
      key: [field('id', String(20_000 + i))],
      description: 'Row was deleted',
      account: 'root@localhost',
      old: [field('id', String(20_000 + i)), field('amount', `${int(1, 900)}.00`)],
      new: null,
    });
  for (let i = 0; i < 40; i++)
    add(9000 + i * 3600, {
      field: 'owner',
      description: 'Field owner is different (Carol -- carol)',
      old: account('31', { owner: 'Carol' }),
      new: account('31', { owner: 'carol' }),
      ...(i % 4 === 0
        ? { signed_off: { by: 'dora', at: at(3000 + i), reason: 'a typing mistake, corrected by the owner' } }
        : {}),
    });
  list.sort((a, b) => (a.opened < b.opened ? 1 : a.opened > b.opened ? -1 : 0));

  let paused = true;
  let damaged: string | null = null;
  const pending = (watch: string, table?: string) =>
    list.filter((one) => !one.signed_off && one.watch === watch && (!table || one.table === table)).length;
  const table = (watch: string, name: string, rows: number, more: object = {}) => ({
    name,
    state: 'watched',
    rows,
    inserts: rows + 812,
    updates: 3 * name.length ** 3,
    deletes: 812,
    pending: pending(watch, name),
    ...more,
  });

  return {
    watches: () => [
      {
        name: 'bank',
        engine: 'mysql',
        place: '127.0.0.1:3306/bank',
        state: 'following',
        position: '0-1-8812,bin.000042:1204711',
        lag_ms: 120,
        last_change: at(2),
        compared_at: at(1260),
        pass_s: 412,
        pending: pending('bank'),
        tables: [
          table('bank', 'accounts', 41_022),
          table(
            'bank',
            'customers',
            18_400,
            paused
              ? {
                  state: 'paused',
                  why: 'ALTER TABLE customers ADD COLUMN tax_id varchar(32), at 09:58:12 by root@localhost: the column tax_id is new',
                  fingerprint: 'schema-customers-2',
                }
              : {},
          ),
          table('bank', 'transfers', 1_204_118),
        ],
      },
      {
        name: 'shop',
        engine: 'postgresql',
        place: 'db2.example:5432/shop, schema public',
        state: 'waiting',
        why: 'connection refused (os error 111); tries again in 30 s',
        position: '0/16B3748',
        lag_ms: 18_000,
        last_change: at(640),
        compared_at: at(7300),
        pass_s: 61,
        pending: pending('shop'),
        projection: {
          schema: 'audit',
          state: 'refused',
          why: 'permission denied for table _rule_violations (42501)',
        },
        tables: [
          table('shop', 'order_lines', 80_114),
          table('shop', 'orders', 22_870),
          table('shop', 'sessions', 0, {
            state: 'refused',
            why: 'has neither a primary nor a unique key: say with identify what tells its rows apart',
            inserts: 0,
            updates: 0,
            deletes: 0,
          }),
        ],
      },
    ],
    violations: (params) => {
      const state = params.get('state') ?? 'pending';
      const after = list.findIndex((one) => one.fingerprint === params.get('after'));
      const fits = list
        .slice(after + 1)
        .filter(
          (one) =>
            ['watch', 'table', 'fingerprint'].every(
              (name) => !params.has(name) || one[name] === params.get(name),
            ) &&
            one.watch !== damaged &&
            (state === 'all' || (state === 'signed_off') === Boolean(one.signed_off)),
        );
      const limit = Number(params.get('limit') ?? 100);
      const unreadable = damaged === null ? undefined : [{ watch: damaged, why: 'disk I/O error' }];
      return { violations: fits.slice(0, limit), more: fits.length > limit, unreadable };
    },
    damage: (watch) => {
      damaged = watch;
    },
    history: (fingerprint) => {
      const one = list.find((one) => one.fingerprint === fingerprint);
      if (!one) return null;
      const first = one.old ?? one.new ?? [];
      const versions: object[] = [
        { version: 1, at: at(800_000, '000001000'), operation: 'baseline', row: first },
      ];
      if (one.old && one.new)
        versions.push({
          version: 2,
          at: one.opened,
          operation: 'update',
          transaction: '0-1-8790',
          account: one.account,
          row: one.new,
        });
      if (one.old && one.new === null)
        versions.push({ version: 2, at: one.opened, operation: 'delete', unexplained: true, row: null });
      return versions.reverse();
    },
    signOff: (fingerprints, reason, by) => {
      for (const fingerprint of fingerprints) {
        if (fingerprint === 'schema-customers-2' && paused) continue;
        const one = list.find((one) => one.fingerprint === fingerprint);
        if (!one) return { status: 404, detail: `there is no violation "${fingerprint}"` };
        if (one.signed_off)
          return { status: 409, detail: `${fingerprint} is signed off already, by ${one.signed_off.by}` };
      }
      if (fingerprints.includes('schema-customers-2')) paused = false;
      for (const one of list)
        if (fingerprints.includes(one.fingerprint))
          one.signed_off = { by, at: new Date().toISOString(), reason };
      return null;
    },
    open: () => {
      const row = account('77', {});
      add((now - Date.now()) / 1000, {
        key: [field('id', '77')],
        description: 'Row was deleted',
        old: row,
        new: null,
      });
      const made = list.pop();
      if (made) list.unshift(made);
    },
  };
}
