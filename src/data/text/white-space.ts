/** Python's white space, as the inside of a character class; `\s` has one character more and misses five. */
export const WHITE_SPACE = '\t-\r\x1c- \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000';
