import { type Element, type LayoutElement, layoutOf, MONTHS, WEEKDAYS } from './layout.js';
import { NamedNumber } from './named-number.js';
import { localZone, type TimeZone, UTC, type ZoneOffset } from './time-zone.js';
import type { TemplateFunction } from '../template-function.js';
import { TypedValue, type Value } from '../value.js';

const DAY = 86_400n;
const NANOSECONDS = 1_000_000_000n;
/** Days before 1970-01-01 of 0000-03-01, and in 400 years. */
const DAYS_TO_MARCH_0 = 719_468n;
const DAYS_PER_ERA = 146_097n;
/** Go counts the seconds of a time from year 1 in 64 bits. */
const SECONDS_TO_YEAR_1 = 62_135_596_800n;

export interface CivilTime {
  readonly year: number;
  /** From 1. */
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
}

/** Go's time.Time: a point in time, seen in a zone. */
export class GoTime extends TypedValue {
  readonly type = 'time.Time';
  readonly unixSeconds: bigint;
  readonly nanosecond: number;
  readonly zone: TimeZone;

  constructor(unixSeconds: bigint, nanosecond = 0, zone: TimeZone = UTC) {
    super();
    this.unixSeconds = BigInt.asIntN(64, unixSeconds + SECONDS_TO_YEAR_1) - SECONDS_TO_YEAR_1;
    this.nanosecond = nanosecond;
    this.zone = zone;
  }

  static ofMilliseconds(milliseconds: number, zone: TimeZone): GoTime {
    const seconds = Math.floor(milliseconds / 1000);
    return new GoTime(BigInt(seconds), Math.round((milliseconds - seconds * 1000) * 1_000_000), zone);
  }

  /** What the clocks of the zone show. */
  static ofCivil(time: CivilTime, nanosecond: number, zone: TimeZone): GoTime {
    const shown = civilSeconds(time);
    const guess = shown - BigInt(zone.at(Number(shown)).seconds);
    return new GoTime(shown - BigInt(zone.at(Number(guess)).seconds), nanosecond, zone);
  }

  in(zone: TimeZone): GoTime {
    return new GoTime(this.unixSeconds, this.nanosecond, zone);
  }

  plus(nanoseconds: bigint): GoTime {
    const total = this.unixSeconds * NANOSECONDS + BigInt(this.nanosecond) + nanoseconds;
    const nanosecond = ((total % NANOSECONDS) + NANOSECONDS) % NANOSECONDS;
    return new GoTime((total - nanosecond) / NANOSECONDS, Number(nanosecond), this.zone);
  }

  /** In nanoseconds; what does not fit into 64 bits is the longest duration. */
  since(earlier: GoTime): bigint {
    const difference = (this.unixSeconds - earlier.unixSeconds) * NANOSECONDS + BigInt(this.nanosecond - earlier.nanosecond);
    const longest = 2n ** 63n - 1n;
    return difference > longest ? longest : difference < -longest ? -longest - 1n : difference;
  }

  format(layout: string): string {
    const fields = new Fields(this);
    return layoutOf(layout)
      .map((part) => (typeof part === 'string' ? part : fields.textOf(part)))
      .join('');
  }

  /** Negative: it is before the other one. */
  #compare(other: GoTime): bigint {
    const seconds = this.unixSeconds - other.unixSeconds;
    return seconds === 0n ? BigInt(this.nanosecond - other.nanosecond) : seconds;
  }

  /** So many years, months and days later at the same time of the day. A day that a month does not have is one of the next month. */
  #plusDate(counts: readonly Value[]): GoTime {
    const { civil } = new Fields(this);
    const [years = 0, months = 0, days = 0] = counts.map(Number);
    const month = civil.month - 1 + months;
    const date = { year: civil.year + years + Math.floor(month / 12), month: (((month % 12) + 12) % 12) + 1, day: civil.day + days };
    return GoTime.ofCivil({ ...civil, ...date }, this.nanosecond, this.zone);
  }

  toString(): string {
    return this.format('2006-01-02 15:04:05.999999999 -0700 MST');
  }

  override method(name: string): TemplateFunction | undefined {
    const run = METHODS[name];
    if (run !== undefined) return { takes: 0, isVariadic: false, run: () => run(new Fields(this)) };
    const compare = COMPARISONS[name];
    if (compare !== undefined) {
      return {
        takes: 1,
        isVariadic: false,
        types: ['time.Time'],
        run: ([other]) => other instanceof GoTime && compare(this.#compare(other)),
      };
    }
    if (name === 'AddDate') return { takes: 3, isVariadic: false, types: ['int', 'int', 'int'], run: (args) => this.#plusDate(args) };
    if (name !== 'Format') return undefined;
    return { takes: 1, isVariadic: false, types: ['string'], run: ([layout]) => this.format(typeof layout === 'string' ? layout : '') };
  }
}

const COMPARISONS: Readonly<Record<string, (difference: bigint) => Value>> = {
  Before: (difference) => difference < 0n,
  After: (difference) => difference > 0n,
  Equal: (difference) => difference === 0n,
  Compare: (difference) => (difference < 0n ? -1n : difference > 0n ? 1n : 0n),
};

const METHODS: Readonly<Record<string, (fields: Fields) => Value>> = {
  Year: ({ civil }) => BigInt(civil.year),
  Month: ({ civil }) => new NamedNumber({ type: 'time.Month', number: BigInt(civil.month), name: MONTHS[civil.month - 1] ?? '' }),
  Day: ({ civil }) => BigInt(civil.day),
  Hour: ({ civil }) => BigInt(civil.hour),
  Minute: ({ civil }) => BigInt(civil.minute),
  Second: ({ civil }) => BigInt(civil.second),
  Nanosecond: ({ time }) => BigInt(time.nanosecond),
  Weekday: ({ weekday }) => new NamedNumber({ type: 'time.Weekday', number: BigInt(weekday), name: WEEKDAYS[weekday] ?? '' }),
  YearDay: ({ dayOfYear }) => BigInt(dayOfYear),
  Unix: ({ time }) => time.unixSeconds,
  UnixMilli: ({ time }) => BigInt.asIntN(64, time.unixSeconds * 1000n + BigInt(Math.floor(time.nanosecond / 1_000_000))),
  UnixMicro: ({ time }) => BigInt.asIntN(64, time.unixSeconds * 1_000_000n + BigInt(Math.floor(time.nanosecond / 1000))),
  UnixNano: ({ time }) => BigInt.asIntN(64, time.unixSeconds * NANOSECONDS + BigInt(time.nanosecond)),
  IsZero: ({ time }) => time.unixSeconds === -SECONDS_TO_YEAR_1 && time.nanosecond === 0,
  UTC: ({ time }) => time.in(UTC),
  Local: ({ time }) => time.in(localZone()),
  String: ({ time }) => time.toString(),
};

/** What there is to show of a time in its zone. */
class Fields {
  readonly time: GoTime;
  readonly zone: ZoneOffset;
  readonly civil: CivilTime;
  readonly weekday: number;
  readonly dayOfYear: number;

  constructor(time: GoTime) {
    this.time = time;
    this.zone = time.zone.at(Number(time.unixSeconds));
    const shown = time.unixSeconds + BigInt(this.zone.seconds);
    const days = floorDivided(shown, DAY);
    const second = Number(shown - days * DAY);
    const date = civilDate(days);
    this.civil = { ...date, hour: Math.floor(second / 3600), minute: Math.floor(second / 60) % 60, second: second % 60 };
    this.weekday = Number((((days + 4n) % 7n) + 7n) % 7n);
    this.dayOfYear = Number(days - civilDays({ ...date, month: 1, day: 1 })) + 1;
  }

  textOf({ element, text }: LayoutElement): string {
    const { year, month, day, hour, minute, second } = this.civil;
    switch (element) {
      case '2006':
        return year < 0 ? `-${digits(-year, 4)}` : digits(year, 4);
      case '06':
        return digits(Math.abs(year) % 100, 2);
      case 'January':
        return MONTHS[month - 1] ?? '';
      case 'Jan':
        return (MONTHS[month - 1] ?? '').slice(0, 3);
      case '1':
        return String(month);
      case '01':
        return digits(month, 2);
      case 'Monday':
        return WEEKDAYS[this.weekday] ?? '';
      case 'Mon':
        return (WEEKDAYS[this.weekday] ?? '').slice(0, 3);
      case '2':
        return String(day);
      case '_2':
        return String(day).padStart(2);
      case '02':
        return digits(day, 2);
      case '__2':
        return String(this.dayOfYear).padStart(3);
      case '002':
        return digits(this.dayOfYear, 3);
      case '15':
        return digits(hour, 2);
      case '3':
        return String(hour % 12 || 12);
      case '03':
        return digits(hour % 12 || 12, 2);
      case '4':
        return String(minute);
      case '04':
        return digits(minute, 2);
      case '5':
        return String(second);
      case '05':
        return digits(second, 2);
      case 'PM':
        return hour >= 12 ? 'PM' : 'AM';
      case 'pm':
        return hour >= 12 ? 'pm' : 'am';
      case 'MST':
        return this.zone.name || offsetText(this.zone.seconds, '-0700');
      case 'fraction':
        return text.charAt(0) + this.#fraction(text.length - 1);
      case 'trimmed fraction': {
        const fraction = this.#fraction(text.length - 1).replace(/0+$/, '');
        return fraction === '' ? '' : text.charAt(0) + fraction;
      }
      default:
        return offsetText(this.zone.seconds, element);
    }
  }

  #fraction(places: number): string {
    return digits(this.time.nanosecond, 9).slice(0, places);
  }
}

function digits(value: number, width: number): string {
  return String(value).padStart(width, '0');
}

/** The layout's letter Z writes UTC as such. */
function offsetText(seconds: number, layout: Element): string {
  if (layout.startsWith('Z') && seconds === 0) return 'Z';
  const length = Math.abs(seconds);
  const parts = [Math.floor(length / 3600), Math.floor(length / 60) % 60, length % 60].map((part) => digits(part, 2));
  const count = layout.replace(/[^\d]/g, '').length / 2;
  return (seconds < 0 && Math.ceil(seconds / 60) !== 0 ? '-' : '+') + parts.slice(0, count).join(layout.includes(':') ? ':' : '');
}

function floorDivided(value: bigint, divisor: bigint): bigint {
  const rest = ((value % divisor) + divisor) % divisor;
  return (value - rest) / divisor;
}

/** The date that is so many days after 1970-01-01. The years are counted from March, so that a leap day is the last day of one. */
function civilDate(days: bigint): { year: number; month: number; day: number } {
  const shifted = days + DAYS_TO_MARCH_0;
  const era = floorDivided(shifted, DAYS_PER_ERA);
  const dayOfEra = Number(shifted - era * DAYS_PER_ERA);
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9;
  const year = Number(era) * 400 + yearOfEra + (month <= 2 ? 1 : 0);
  return { year, month, day: dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1 };
}

function civilDays({ year, month, day }: { readonly year: number; readonly month: number; readonly day: number }): bigint {
  const marchYear = BigInt(month <= 2 ? year - 1 : year);
  const era = floorDivided(marchYear, 400n);
  const yearOfEra = Number(marchYear - era * 400n);
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * DAYS_PER_ERA + BigInt(dayOfEra) - DAYS_TO_MARCH_0;
}

function civilSeconds(time: CivilTime): bigint {
  return civilDays(time) * DAY + BigInt(time.hour * 3600 + time.minute * 60 + time.second);
}
