import { describe, expect, it } from '@jest/globals';
import { textOfHtml } from './html-text.js';

describe('textOfHtml', () => {
  it('makes lines of paragraphs, breaks and lists', () => {
    const html = `<!DOCTYPE html><html><head><title>no</title><style>p{}</style></head><body>
      <h1>Welcome</h1><p>Hello <b>Jane</b>,<br>your   account
      is ready.</p><ul><li>one</li><li>two</li></ul><div>bye</div><!-- not this --><script>nor('<p>this</p>')</script></body></html>`;
    expect(textOfHtml(html)).toBe('Welcome\n\nHello Jane,\nyour account is ready.\n\n- one\n- two\nbye');
  });

  it('shows the address of a link after its text', () => {
    expect(textOfHtml('<a href="https://shop.example/a?b=1&amp;c=2">Log in</a> now')).toBe('Log in (https://shop.example/a?b=1&c=2) now');
    expect(textOfHtml("<a href='https://shop.example'>https://shop.example</a>")).toBe('https://shop.example');
    expect(textOfHtml('<a href=mailto:help@shop.example>help@shop.example</a>')).toBe('help@shop.example');
    expect(textOfHtml('<a href="javascript:alert(1)">x</a><a href="/y">y</a></a>')).toBe('xy');
  });

  it('keeps what is preformatted, the words of images and the cells of tables apart', () => {
    expect(textOfHtml('<pre>a\n  b</pre>c')).toBe('a\n  b\n\nc');
    expect(textOfHtml('<img alt="Our logo" src=x><table><tr><td>1</td><td>2</td></tr><tr><td>3</td></tr></table>')).toBe(
      'Our logo\n1 2\n3',
    );
    expect(textOfHtml('a<hr>b')).toBe('a\n\n---\n\nb');
  });

  it('decodes references to characters, and leaves what is none', () => {
    expect(textOfHtml('&lt;b&gt; &amp;amp; &#8364; &#x20AC; &hellip; &unknown; &#0; &#xD800; a &lt b')).toBe(
      '<b> &amp; € € … &unknown; a &lt b',
    );
  });

  it('takes a lone sign for text', () => {
    expect(textOfHtml('1 < 2 and 3 > 2')).toBe('1 < 2 and 3 > 2');
  });

  it('takes no longer than the text is long', () => {
    const begin = performance.now();
    const parts = [
      '<',
      '<a ',
      '<!--',
      '</',
      '<a href="',
      '<script>',
      '<a href=x>',
      '<a href=https://x>b</a>',
      '&',
      '<p>',
      '< a="',
      "<b x='",
    ];
    for (const part of parts) textOfHtml(part.repeat(60_000));
    for (const part of ['a', 'a ', ' ', 'a=', '"', 'a=\'b" ']) textOfHtml(`<a ${part.repeat(120_000)}>b</a>`);
    for (const part of [' ', '\n', ' \n', '\u00a0']) textOfHtml(`<pre>${part.repeat(120_000)}</pre>`);
    expect(performance.now() - begin).toBeLessThan(5000);
  });
});
