import { describeAgainstGo } from './against-go.js';
import { SPRIG_DATA_CASES } from './sprig-cases-data.js';
import { SPRIG_NUMBER_CASES } from './sprig-cases-numbers.js';
import { SPRIG_TEXT_CASES } from './sprig-cases-text.js';

describeAgainstGo('sprig beside that of Go: texts, expressions, URLs and versions', SPRIG_TEXT_CASES);
describeAgainstGo('sprig beside that of Go: lists, maps, JSON and types', SPRIG_DATA_CASES);
describeAgainstGo('sprig beside that of Go: numbers and times', SPRIG_NUMBER_CASES);
