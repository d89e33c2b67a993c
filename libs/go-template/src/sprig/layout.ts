// Go's layouts of times: a layout shows how the reference time, Mon Jan 2 15:04:05 MST 2006, would be written.

export type Element =
  | 'January'
  | 'Jan'
  | '1'
  | '01'
  | 'Monday'
  | 'Mon'
  | '2'
  | '_2'
  | '02'
  | '__2'
  | '002'
  | '15'
  | '3'
  | '03'
  | '4'
  | '04'
  | '5'
  | '05'
  | '2006'
  | '06'
  | 'PM'
  | 'pm'
  | 'MST'
  | 'Z0700'
  | 'Z070000'
  | 'Z07'
  | 'Z07:00'
  | 'Z07:00:00'
  | '-0700'
  | '-070000'
  | '-07'
  | '-07:00'
  | '-07:00:00'
  | 'fraction'
  | 'trimmed fraction';

export interface LayoutElement {
  readonly element: Element;
  /** As the layout has it; of a fraction, the separator and a digit for each place. */
  readonly text: string;
}

/** Literal texts and elements by turns; a literal may be empty. */
export type Layout = readonly (string | LayoutElement)[];

/** In this order one that is the start of another one comes behind it. */
const ELEMENT = new RegExp(
  [
    'January',
    'Jan(?![a-z])',
    'Monday',
    'Mon(?![a-z])',
    'MST',
    '002',
    '0[1-6]',
    '15',
    '1',
    '2006',
    '2',
    '__2',
    '_2(?!006)',
    '[345]',
    'PM',
    'pm',
    '[-Z]07(?:0000|:00:00|00|:00)?',
    '[.,](?:0+|9+)(?!\\d)',
  ].join('|'),
  'g',
);

export function layoutOf(text: string): Layout {
  const layout: (string | LayoutElement)[] = [];
  let end = 0;
  for (const { 0: found, index } of text.matchAll(ELEMENT)) {
    layout.push(text.slice(end, index), { element: elementOf(found), text: found });
    end = index + found.length;
  }
  layout.push(text.slice(end));
  return layout;
}

function elementOf(text: string): Element {
  if (/^[.,]/.test(text)) return text.endsWith('0') ? 'fraction' : 'trimmed fraction';
  return text as Element;
}

export const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];
export const WEEKDAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
