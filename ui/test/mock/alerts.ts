/** Alerts in every state, the same on every run but for the clock. */
import { random } from './data.ts';

interface Alert {
  id: string;
  rule: string;
  level: string;
  opened: string;
  acknowledged?: { by: string; at: string; reason: string };
  silenced?: { by: string; until: string; reason: string };
  resolved?: { by: string; at: string; reason: string };
  steps: { name: string; at: string; by: string; message: string; index: number }[];
  [more: string]: unknown;
}

export interface Alerts {
  list(params: URLSearchParams): object;
  none(): object;
  show(id: string): object | null;
  /** Why it is refused; null when it is done. */
  act(
    deed: string,
    ids: string[],
    reason: string,
    by: string,
    until?: string,
  ): { status: number; detail: string } | null;
  rules(): object;
  /** Root logs in. */
  open(): void;
}

const LEVELS = ['informational', 'low', 'medium', 'high', 'critical'];
const RULES: [id: string, level: string, kind: string, title: string][] = [
  ['login-brute-force-success', 'critical', 'sequence', 'A login after many failures'],
  ['login-root', 'high', 'match', 'Root logged in'],
  ['service-down', 'high', 'match', 'A service is down'],
  ['disk-nearly-full', 'medium', 'match', 'A disk is nearly full'],
  ['package-removed', 'low', 'match', 'A package was removed'],
];

export function makeAlerts(now: number): Alerts {
  const next = random(11);
  const at = (seconds: number) => new Date(now - seconds * 1000).toISOString().replace('Z', '000000Z');
  const list: Alert[] = [];
  const add = (seconds: number, rule: number, host: string, more: Partial<Alert> = {}) => {
    const [id, level, , title] = RULES[rule] ?? ['', '', '', ''];
    const opened = at(seconds);
    const message = `${title.toLowerCase()} on ${host}`;
    const serial = list.length;
    list.push({
      id: `${(0x84fd94 + serial * 7919).toString(16)}8d24653687d8`,
      rule: id,
      rule_version: '9f86d081884c7d65',
      title,
      level,
      message,
      host,
      group: { host, source_ip_address: `192.0.2.${serial % 250}` },
      count: 1 + Math.floor(next() * 4),
      events: 1 + Math.floor(next() * 9),
      opened,
      last: at(seconds / 2),
      evidence: [`audit/${serial + 3}`, `logs/${serial + 9}`],
      description: 'People should log in as themselves and use sudo, so that it is known who did what.',
      steps: [{ name: 'alert.open', at: opened, by: '-', message, index: 100 + serial }],
      ...more,
    });
  };
  for (let i = 0; i < 320; i++)
    add(3600 * 24 * 3 - i * 60, i % RULES.length, `web${i % 7}`, {
      resolved: {
        by: i % 3 === 0 ? 'dora' : '-',
        at: at(3600 * 24),
        reason: i % 3 === 0 ? 'seen to' : 'quiet',
      },
    });
  add(9000, 4, 'db1');
  add(7200, 3, 'db1', { acknowledged: { by: 'dora', at: at(7000), reason: 'a larger disk is ordered' } });
  add(3600, 2, 'web2', { silenced: { by: 'dora', until: at(-7200), reason: 'maintenance' } });
  add(1800, 1, 'web1');
  add(600, 0, 'web1');

  const stateOf = (one: Alert) =>
    one.resolved ? 'resolved' : one.silenced ? 'silenced' : one.acknowledged ? 'acknowledged' : 'open';
  const shown = (one: Alert) => ({ ...one, steps: undefined, description: undefined, state: stateOf(one) });
  const counts = () => {
    const of = (state: string) => list.filter((one) => stateOf(one) === state).length;
    const bad = (level: string) => list.filter((one) => !one.resolved && one.level === level).length;
    return {
      open: of('open'),
      acknowledged: of('acknowledged'),
      silenced: of('silenced'),
      resolved: of('resolved'),
      critical: bad('critical'),
      high: bad('high'),
    };
  };
  return {
    list(params) {
      const [state, rule] = [params.get('state') ?? 'active', params.get('rule')];
      const least = LEVELS.indexOf(params.get('level') ?? 'informational');
      const limit = Number(params.get('limit') ?? 100);
      const wanted = list
        .toReversed()
        .filter((one) => state === 'all' || (state === 'active' ? !one.resolved : stateOf(one) === state))
        .filter((one) => (rule === null || one.rule === rule) && LEVELS.indexOf(one.level) >= least);
      const after = params.get('after');
      const from = after === null ? 0 : wanted.findIndex(({ id }) => id === after) + 1;
      const page = wanted.slice(from, from + limit);
      return { alerts: page.map(shown), more: wanted.length > from + limit, counts: counts() };
    },
    none: () => ({
      alerts: [],
      more: false,
      counts: { open: 0, acknowledged: 0, silenced: 0, resolved: 0, critical: 0, high: 0 },
    }),
    show(id) {
      const found = list.find((one) => one.id === id);
      return found ? { ...found, state: stateOf(found) } : null;
    },
    act(deed, ids, reason, by, until) {
      const found = ids.map((id) => list.find((one) => one.id === id));
      if (found.includes(undefined)) return { status: 404, detail: 'there is no such alert' };
      if (found.some((one) => one?.resolved)) return { status: 409, detail: 'it was resolved already' };
      const time = new Date().toISOString();
      for (const one of found) {
        if (!one) continue;
        if (deed === 'ack') one.acknowledged = { by, at: time, reason };
        if (deed === 'resolve') one.resolved = { by, at: time, reason };
        if (deed === 'silence')
          one.silenced = {
            by,
            until: new Date(Date.now() + (until === '+1h' ? 1 : 4) * 3.6e6).toISOString(),
            reason,
          };
        one.steps.push({
          name: `alert.${deed}`,
          at: time,
          by,
          message: `${by}: ${one.title}`,
          index: 900 + one.steps.length,
        });
      }
      return null;
    },
    rules: () => ({
      rules: RULES.map(([id, level, kind, title], i) => ({
        id,
        version: '9f86d081884c7d65',
        title,
        description: '',
        level,
        kind,
        by: ['host'],
        file: 'starter/logins.yaml',
        line: 3 + i * 20,
      })),
      not_applicable: [
        {
          file: 'sigma/win_logon.yml',
          line: 1,
          id: '5b8a2f9e-0002',
          reason: 'no source here gives product windows, service security',
        },
      ],
      refused: [{ file: 'own.yaml', line: 4, id: '', reason: 'unknown field `wen`, expected `when`' }],
      disabled: ['key-created'],
      behind: 0,
      version: 'v1',
    }),
    open: () => add(0, 1, 'web9'),
  };
}
