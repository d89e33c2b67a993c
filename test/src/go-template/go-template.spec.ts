import { describeAgainstGo } from './against-go.js';
import { LANGUAGE_CASES, ROOT_CASES } from './language-cases.js';
import { PRINTF_CASES } from './printf-cases.js';
import { randomCases } from './random-templates.js';

describeAgainstGo('Template beside text/template', LANGUAGE_CASES);
describeAgainstGo('Template beside text/template, on any data', ROOT_CASES);
describeAgainstGo('printf beside that of Go', PRINTF_CASES);
describeAgainstGo('Template beside text/template, by chance', randomCases(1, 300));
