import { FunctionError, type TemplateFunction } from '../template-function.js';
import type { Value } from '../value.js';
import { atoi, int64 } from './cast.js';
import { fixed } from './declaration.js';
import { durationText, parseDuration, roundedDuration, roundedToSeconds, SECOND } from './go-duration.js';
import { GoTime } from './go-time.js';
import { localZone, UTC, zoneOf } from './time-zone.js';
import { readTime } from './time-reader.js';

const HTML_DATE = '2006-01-02';
/** Go's zero time. */
const YEAR_1 = new GoTime(-62_135_596_800n);

/** `now` gives milliseconds since 1970. */
export function dateFunctions(now: () => number): ReadonlyMap<string, TemplateFunction> {
  const current = (): GoTime => GoTime.ofMilliseconds(now(), localZone());
  const timeOf = (value: Value): GoTime => {
    if (value instanceof GoTime) return value;
    return typeof value === 'bigint' ? new GoTime(value, 0, localZone()) : current();
  };
  const shown = (layout: string, value: Value, zone: string): string =>
    timeOf(value)
      .in(zoneOf(zone) ?? UTC)
      .format(layout);
  const since = (time: GoTime): bigint => current().since(time);
  const dateInZone = fixed(['string', 'interface {}', 'string'], shown);
  const dateModify = fixed(['string', 'time.Time'], (change, time) => withDefault(() => time.plus(parseDuration(change)), time));
  const mustDateModify = fixed(['string', 'time.Time'], (change, time) => time.plus(parseDuration(change)));
  return new Map([
    ['now', fixed([], current)],
    ['date', fixed(['string', 'interface {}'], (layout, value) => shown(layout, value, 'Local'))],
    ['dateInZone', dateInZone],
    ['date_in_zone', dateInZone],
    ['htmlDate', fixed(['interface {}'], (value) => shown(HTML_DATE, value, 'Local'))],
    ['htmlDateInZone', fixed(['interface {}', 'string'], (value, zone) => shown(HTML_DATE, value, zone))],
    ['dateModify', dateModify],
    ['date_modify', dateModify],
    ['mustDateModify', mustDateModify],
    ['must_date_modify', mustDateModify],
    ['ago', fixed(['interface {}'], (value) => durationText(roundedToSeconds(since(timeOf(value)))))],
    ['duration', fixed(['interface {}'], (value) => durationText(int64(secondsOf(value) * SECOND)))],
    ['durationRound', fixed(['interface {}'], (value) => roundedDuration(value instanceof GoTime ? since(value) : nanosecondsOf(value)))],
    ['toDate', fixed(['string', 'string'], (layout, text) => withDefault(() => readTime(layout, text, localZone()), YEAR_1))],
    ['mustToDate', fixed(['string', 'string'], (layout, text) => readTime(layout, text, localZone()))],
    ['unixEpoch', fixed(['time.Time'], (time) => String(time.unixSeconds))],
  ]);
}

function secondsOf(value: Value): bigint {
  if (typeof value === 'bigint') return value;
  return typeof value === 'string' ? atoi(value) : 0n;
}

function nanosecondsOf(value: Value): bigint {
  if (typeof value === 'bigint') return value;
  return typeof value === 'string' ? withDefault(() => parseDuration(value), 0n) : 0n;
}

function withDefault<T>(run: () => T, fallback: T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof FunctionError) return fallback;
    throw error;
  }
}
