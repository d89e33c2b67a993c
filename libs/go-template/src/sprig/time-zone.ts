// Zones of the IANA database as Go's package time has them, by way of Intl.

/** What holds in a zone at one time. */
export interface ZoneOffset {
  /** Empty when it has no abbreviation. */
  readonly name: string;
  /** Seconds east of UTC. */
  readonly seconds: number;
}

export interface TimeZone {
  at(unixSeconds: number): ZoneOffset;
  /** The offset that this abbreviation stands for about that time. */
  offsetOf(name: string, unixSeconds: number): number | null;
}

/** Times that JavaScript's dates reach. */
const MAX_SECONDS = 8_640_000_000_000;
const HALF_YEAR = 182 * 86_400;

/** One of them has the usual abbreviation of most zones. */
const LOCALES = ['en-US', 'en-GB', 'en-AU', 'en-IN', 'en-ZA', 'en-NZ', 'en-HK', 'en-KE', 'en-NG', 'en-GU'];

/** Zones whose abbreviation no English locale has, or another one than the IANA database. Empty: the offset in digits. */
const ABBREVIATIONS: readonly (readonly [zones: readonly string[], names: Readonly<Record<number, string>>])[] = [
  [['America/Adak', 'US/Aleutian'], { [-36_000]: 'HST', [-32_400]: 'HDT' }],
  [['America/Dawson', 'America/Hermosillo', 'America/Mazatlan', 'America/Whitehorse'], { [-25_200]: 'MST' }],
  [['America/Havana', 'Cuba'], { [-18_000]: 'CST', [-14_400]: 'CDT' }],
  [['America/St_Johns', 'Canada/Newfoundland'], { [-12_600]: 'NST', [-9000]: 'NDT' }],
  [['Antarctica/Casey'], { 28_800: '' }],
  [['Antarctica/Troll'], { 0: '', 7200: '' }],
  [['Asia/Colombo'], { 19_800: '' }],
  [['Asia/Dubai', 'Asia/Muscat'], { 14_400: '' }],
  [['Asia/Jakarta', 'Asia/Pontianak'], { 25_200: 'WIB' }],
  [['Asia/Makassar', 'Asia/Ujung_Pandang'], { 28_800: 'WITA' }],
  [['Asia/Jayapura'], { 32_400: 'WIT' }],
  [['Asia/Jerusalem', 'Asia/Tel_Aviv', 'Israel'], { 7200: 'IST', 10_800: 'IDT' }],
  [['Asia/Karachi'], { 18_000: 'PKT' }],
  [['Asia/Shanghai', 'Asia/Chongqing', 'Asia/Macau', 'Asia/Taipei', 'PRC', 'ROC'], { 28_800: 'CST' }],
  [['Asia/Manila'], { 28_800: 'PST' }],
  [['Asia/Seoul', 'Asia/Pyongyang', 'ROK'], { 32_400: 'KST' }],
  [['Asia/Tokyo', 'Japan'], { 32_400: 'JST' }],
  [['Australia/Eucla'], { 31_500: '' }],
  [['Australia/Lord_Howe', 'Australia/LHI'], { 37_800: '', 39_600: '' }],
  [['Europe/Dublin', 'Eire'], { 3600: 'IST' }],
  [['Europe/Guernsey', 'Europe/Isle_of_Man', 'Europe/Jersey'], { 3600: 'BST' }],
  [['Europe/Moscow', 'Europe/Kirov', 'Europe/Simferopol', 'Europe/Volgograd', 'W-SU'], { 10_800: 'MSK' }],
  [['Pacific/Chatham', 'NZ-CHAT'], { 45_900: '', 49_500: '' }],
  [['Pacific/Midway', 'Pacific/Pago_Pago', 'Pacific/Samoa', 'US/Samoa'], { [-39_600]: 'SST' }],
  [['GMT', 'Etc/GMT', 'Greenwich', 'Etc/Greenwich', 'GMT0', 'Etc/GMT0', 'GMT+0', 'GMT-0', 'Etc/GMT+0', 'Etc/GMT-0'], { 0: 'GMT' }],
  [['MET'], { 3600: 'MET', 7200: 'MEST' }],
];
const ABBREVIATIONS_BY_ZONE = new Map(ABBREVIATIONS.flatMap(([zones, names]) => zones.map((zone) => [zone, names] as const)));

class FixedZone implements TimeZone {
  readonly #offset: ZoneOffset;

  constructor(name: string, seconds: number) {
    this.#offset = { name, seconds };
  }

  at(): ZoneOffset {
    return this.#offset;
  }

  offsetOf(name: string): number | null {
    return name === this.#offset.name ? this.#offset.seconds : null;
  }
}

/** The offset is that of the database, the abbreviation is the one of these days. */
class NamedZone implements TimeZone {
  readonly #name: string;
  readonly #fields: Intl.DateTimeFormat;
  readonly #names: Intl.DateTimeFormat[] = [];

  constructor(name: string) {
    this.#name = name;
    this.#fields = new Intl.DateTimeFormat('en-US', {
      timeZone: name,
      calendar: 'iso8601',
      numberingSystem: 'latn',
      hourCycle: 'h23',
      era: 'short',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
  }

  at(unixSeconds: number): ZoneOffset {
    const time = Math.max(-MAX_SECONDS, Math.min(MAX_SECONDS, unixSeconds)) * 1000;
    const seconds = this.#offsetAt(time);
    return { name: (ABBREVIATIONS_BY_ZONE.get(this.#name)?.[seconds] ?? this.#abbreviationAt(time)) || digitsOf(seconds), seconds };
  }

  offsetOf(name: string, unixSeconds: number): number | null {
    const offsets = [0, HALF_YEAR, -HALF_YEAR].map((distance) => this.at(unixSeconds + distance));
    return offsets.find((offset) => offset.name === name)?.seconds ?? null;
  }

  #offsetAt(time: number): number {
    const fields = new Map(this.#fields.formatToParts(time).map(({ type, value }) => [type, value]));
    const number = (type: Intl.DateTimeFormatPartTypes): number => Number(fields.get(type) ?? 0);
    const isBeforeChrist = fields.get('era')?.startsWith('B') ?? false;
    const year = isBeforeChrist ? 1 - number('year') : number('year');
    const there = new Date(0);
    there.setUTCFullYear(year, number('month') - 1, number('day'));
    there.setUTCHours(number('hour'), number('minute'), number('second'));
    return Math.round((there.getTime() - Math.floor(time / 1000) * 1000) / 1000);
  }

  /** One that is only letters: `GMT+3` is none. */
  #abbreviationAt(time: number): string {
    for (const [place, locale] of LOCALES.entries()) {
      const format = (this.#names[place] ??= new Intl.DateTimeFormat(locale, { timeZone: this.#name, timeZoneName: 'short' }));
      const name = format.formatToParts(time).find(({ type }) => type === 'timeZoneName')?.value ?? '';
      if (/^[A-Z][A-Za-z]+$/.test(name)) return name;
    }
    return '';
  }
}

/** The abbreviation of a zone that has no letters for one: `+03`, `+0530`. */
function digitsOf(seconds: number): string {
  const minutes = Math.floor(Math.abs(seconds) / 60);
  const [hour, minute] = [Math.floor(minutes / 60), minutes % 60].map((part) => String(part).padStart(2, '0'));
  return `${seconds < 0 ? '-' : '+'}${hour}${minute === '00' ? '' : minute}`;
}

export const UTC: TimeZone = new FixedZone('UTC', 0);

export function fixedZone(name: string, seconds: number): TimeZone {
  return new FixedZone(name, seconds);
}

/** Each has some formatters, which are large. */
const MAX_ZONES = 100;
const ZONES = new Map<string, TimeZone>();

/** The zone of the process. */
export function localZone(): TimeZone {
  return zoneOf(new Intl.DateTimeFormat().resolvedOptions().timeZone) ?? UTC;
}

/** `time.LoadLocation`; null: there is no such zone. */
export function zoneOf(name: string): TimeZone | null {
  if (name === 'Local') return localZone();
  if (name === '' || name === 'UTC') return UTC;
  const known = ZONES.get(name);
  if (known !== undefined) return known;
  const zone = loaded(name);
  if (zone === null) return null;
  const [oldest] = ZONES.keys();
  if (ZONES.size >= MAX_ZONES && oldest !== undefined) ZONES.delete(oldest);
  ZONES.set(name, zone);
  return zone;
}

/** In Go a zone is a file, so that its name is in one case only. */
function loaded(name: string): TimeZone | null {
  if (!/^[A-Za-z][\w+/-]{0,63}$/.test(name)) return null;
  try {
    const { timeZone } = new Intl.DateTimeFormat('en-US', { timeZone: name }).resolvedOptions();
    const isOtherCase = timeZone !== name && timeZone.toLowerCase() === name.toLowerCase();
    return isOtherCase ? null : new NamedZone(name);
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}
