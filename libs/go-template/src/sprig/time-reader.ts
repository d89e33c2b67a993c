// Reads a time by a layout, as Go's time.ParseInLocation does, with its words for what is wrong.

import { quotedForTime } from './go-duration.js';
import { GoTime } from './go-time.js';
import { type LayoutElement, layoutOf, MONTHS, WEEKDAYS } from './layout.js';
import { fixedZone, type TimeZone, UTC } from './time-zone.js';
import { FunctionError } from '../template-function.js';

const SHORT_MONTHS = MONTHS.map((name) => name.slice(0, 3));
const SHORT_WEEKDAYS = WEEKDAYS.map((name) => name.slice(0, 3));

/** Throws a FunctionError. */
export function readTime(layout: string, text: string, local: TimeZone): GoTime {
  return new TimeReader(layout, text, local).read();
}

class TimeReader {
  readonly #layout: string;
  readonly #text: string;
  readonly #local: TimeZone;
  /** What is not read yet. */
  #rest: string;
  #year = 0;
  #month: number | null = null;
  #day: number | null = null;
  #dayOfYear: number | null = null;
  #hour = 0;
  #minute = 0;
  #second = 0;
  #nanosecond = 0;
  #half: 'am' | 'pm' | null = null;
  #isUtc = false;
  #offset: number | null = null;
  #zoneName = '';

  constructor(layout: string, text: string, local: TimeZone) {
    this.#layout = layout;
    this.#text = text;
    this.#rest = text;
    this.#local = local;
  }

  read(): GoTime {
    const parts = layoutOf(this.#layout);
    for (const [place, part] of parts.entries()) {
      if (typeof part === 'string') this.#skip(part);
      else this.#readElement(part, this.#hasFraction(parts.slice(place + 1)));
    }
    if (this.#rest !== '') this.#failWith(`: extra text: ${quotedForTime(this.#rest)}`);
    if (this.#half === 'pm' && this.#hour < 12) this.#hour += 12;
    else if (this.#half === 'am' && this.#hour === 12) this.#hour = 0;
    if (this.#dayOfYear !== null) this.#useDayOfYear(this.#dayOfYear);
    const month = this.#month ?? 1;
    const day = this.#day ?? 1;
    if (day < 1 || day > daysIn(month, this.#year)) this.#failWith(': day out of range');
    return this.#inZone(month, day);
  }

  /** The next thing of the layout is a fraction of the second. */
  #hasFraction([literal, next]: readonly (string | LayoutElement)[]): boolean {
    return literal === '' && typeof next === 'object' && next.element.endsWith('fraction');
  }

  #failWith(message: string): never {
    throw new FunctionError(`parsing time ${quotedForTime(this.#text)}${message}`);
  }

  #failAt(layoutPart: string, text: string): never {
    throw new FunctionError(
      `parsing time ${quotedForTime(this.#text)} as ${quotedForTime(this.#layout)}: cannot parse ${quotedForTime(text)} as ${quotedForTime(layoutPart)}`,
    );
  }

  #checkRange(isGood: boolean, name: string): void {
    if (!isGood) this.#failWith(`: ${name} out of range`);
  }

  /** Spaces stand for any number of spaces. */
  #skip(literal: string): void {
    for (const [piece] of literal.matchAll(/ +|[^ ]/gu)) {
      if (piece.startsWith(' ')) {
        if (this.#rest !== '' && !this.#rest.startsWith(' ')) this.#failAt(literal, this.#rest);
        this.#rest = this.#rest.replace(/^ +/, '');
      } else {
        if (!this.#rest.startsWith(piece)) this.#failAt(literal, this.#rest);
        this.#rest = this.#rest.slice(piece.length);
      }
    }
  }

  #readElement({ element, text }: LayoutElement, isFractionNext: boolean): void {
    const before = this.#rest;
    const take = (pattern: RegExp): RegExpExecArray => {
      const match = pattern.exec(this.#rest);
      if (match === null) return this.#failAt(text, before);
      this.#rest = this.#rest.slice(match[0].length);
      return match;
    };
    const number = (pattern: RegExp): number => Number(take(pattern)[0]);
    const name = (names: readonly string[]): number => {
      const index = names.findIndex((item) => this.#rest.slice(0, item.length).toLowerCase() === item.toLowerCase());
      const found = names[index];
      if (found === undefined) return this.#failAt(text, before);
      this.#rest = this.#rest.slice(found.length);
      return index;
    };
    const digits = text.startsWith('0') ? /^\d\d/ : /^\d\d?/;
    switch (element) {
      case '06': {
        const year = number(/^[-+\d]\d/);
        this.#year = year + (year >= 69 ? 1900 : 2000);
        return;
      }
      case '2006':
        this.#year = number(/^\d{4}/);
        return;
      case 'Jan':
        this.#month = name(SHORT_MONTHS) + 1;
        return;
      case 'January':
        this.#month = name(MONTHS) + 1;
        return;
      case '1':
      case '01':
        this.#month = number(digits);
        this.#checkRange(this.#month >= 1 && this.#month <= 12, 'month');
        return;
      case 'Mon':
        name(SHORT_WEEKDAYS);
        return;
      case 'Monday':
        name(WEEKDAYS);
        return;
      case '_2':
        this.#day = Number(take(/^ ?(\d\d?)/)[1]);
        return;
      case '2':
      case '02':
        this.#day = number(digits);
        return;
      case '__2':
        this.#dayOfYear = Number(take(/^ {0,2}(\d{1,3})/)[1]);
        return;
      case '002':
        this.#dayOfYear = number(/^\d{3}/);
        return;
      case '15':
        this.#hour = number(/^\d\d?/);
        this.#checkRange(this.#hour < 24, 'hour');
        return;
      case '3':
      case '03':
        this.#hour = number(digits);
        this.#checkRange(this.#hour <= 12, 'hour');
        return;
      case '4':
      case '04':
        this.#minute = number(digits);
        this.#checkRange(this.#minute < 60, 'minute');
        return;
      case '5':
      case '05':
        this.#second = number(digits);
        this.#checkRange(this.#second < 60, 'second');
        if (!isFractionNext && /^[.,]\d/.test(this.#rest)) this.#setFraction(take(/^[.,]\d+/)[0]);
        return;
      case 'PM':
        this.#half = take(/^[AP]M/)[0] === 'PM' ? 'pm' : 'am';
        return;
      case 'pm':
        this.#half = take(/^[ap]m/)[0] === 'pm' ? 'pm' : 'am';
        return;
      case 'MST':
        this.#readZoneName(take);
        return;
      case 'fraction':
        this.#setFraction(take(new RegExp(`^[.,](?:\\d|[-+](?=\\d))\\d{${text.length - 2}}`))[0]);
        return;
      case 'trimmed fraction':
        if (/^[.,]\d/.test(this.#rest)) this.#setFraction(take(/^[.,]\d+/)[0]);
        return;
      default:
        this.#readOffset(text, take);
    }
  }

  /** Go takes a sign among the digits. */
  #setFraction(text: string): void {
    const digits = text.slice(1, 10);
    this.#nanosecond = Number(digits) * 10 ** (9 - digits.length);
    this.#checkRange(this.#nanosecond >= 0, 'fractional second');
  }

  #readOffset(text: string, take: (pattern: RegExp) => RegExpExecArray): void {
    if (text.startsWith('Z') && this.#rest.startsWith('Z')) {
      this.#rest = this.#rest.slice(1);
      this.#isUtc = true;
      return;
    }
    const before = this.#rest;
    const colon = text.includes(':') ? ':' : '';
    const places = text.replace(/\D/g, '').length / 2;
    const shape = new RegExp(`^([^])${Array.from({ length: places }, () => '([^]{2})').join(colon)}`);
    const [, sign, ...parts] = take(shape);
    // Go reads one part behind the other, and what is out of range is told before what is no number.
    const bad = parts.findIndex((part) => !/^\d\d$/.test(part));
    const [hour = 0, minute = 0, second = 0] = (bad < 0 ? parts : parts.slice(0, bad)).map(Number);
    this.#checkRange(second <= 60, 'time zone offset second');
    this.#checkRange(minute <= 60, 'time zone offset minute');
    this.#checkRange(hour <= 24, 'time zone offset hour');
    if (bad >= 0 || (sign !== '+' && sign !== '-')) this.#failAt(text, before);
    const offset = (hour * 60 + minute) * 60 + second;
    this.#offset = sign === '-' ? -offset : offset;
  }

  #readZoneName(take: (pattern: RegExp) => RegExpExecArray): void {
    if (this.#rest.startsWith('UTC')) {
      this.#rest = this.#rest.slice(3);
      this.#isUtc = true;
      return;
    }
    const name = take(
      /^(?:ChST|MeST|GMT(?:[-+](?:0*\d|0*1\d|0*2[0-3])(?!\d))?|[-+](?:0*\d|0*1\d|0*2[0-3])(?!\d)|WITA(?![A-Z])|[A-Z]{3,4}T(?![A-Z])|[A-Z]{3}(?![A-Z]))/,
    );
    this.#zoneName = name[0];
  }

  /** Sets month and day, which must not be others when they were read too. */
  #useDayOfYear(dayOfYear: number): void {
    this.#checkRange(dayOfYear >= 1 && dayOfYear <= (isLeap(this.#year) ? 366 : 365), 'day-of-year');
    let month = 1;
    let day = dayOfYear;
    while (day > daysIn(month, this.#year)) day -= daysIn(month++, this.#year);
    if ((this.#month ?? month) !== month) this.#failWith(': day-of-year does not match month');
    if ((this.#day ?? day) !== day) this.#failWith(': day-of-year does not match day');
    this.#month = month;
    this.#day = day;
  }

  #inZone(month: number, day: number): GoTime {
    const civil = { year: this.#year, month, day, hour: this.#hour, minute: this.#minute, second: this.#second };
    if (this.#isUtc) return GoTime.ofCivil(civil, this.#nanosecond, UTC);
    // An offset of -1 second is the one that Go takes for none.
    if (this.#offset !== null && this.#offset !== -1) return this.#atOffset(GoTime.ofCivil(civil, this.#nanosecond, UTC), this.#offset);
    if (this.#zoneName !== '') return this.#inNamedZone(GoTime.ofCivil(civil, this.#nanosecond, UTC));
    return GoTime.ofCivil(civil, this.#nanosecond, this.#local);
  }

  #atOffset(shown: GoTime, offset: number): GoTime {
    const unixSeconds = shown.unixSeconds - BigInt(offset);
    const there = this.#local.at(Number(unixSeconds));
    const isLocal = there.seconds === offset && (this.#zoneName === '' || there.name === this.#zoneName);
    return new GoTime(unixSeconds, this.#nanosecond, isLocal ? this.#local : fixedZone(this.#zoneName, offset));
  }

  /** A zone that only its abbreviation names has no offset, unless it is the local one, or `GMT+3`. */
  #inNamedZone(shown: GoTime): GoTime {
    const offset = this.#local.offsetOf(this.#zoneName, Number(shown.unixSeconds));
    if (offset !== null) return new GoTime(shown.unixSeconds - BigInt(offset), this.#nanosecond, this.#local);
    const hours = /^GMT([-+]\d+)$/.exec(this.#zoneName)?.[1] ?? '0';
    // Go takes what was read for UTC also when it knows better.
    return shown.in(fixedZone(this.#zoneName, Number(hours) * 3600));
  }
}

function isLeap(year: number): boolean {
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
}

function daysIn(month: number, year: number): number {
  if (month === 2) return isLeap(year) ? 29 : 28;
  return [4, 6, 9, 11].includes(month) ? 30 : 31;
}
