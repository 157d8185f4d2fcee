package pdf

import "strings"

// The fonts that every PDF reader has know the characters of Windows-1252 and no others.
const (
	// windows are the characters at 0x80 to 0x9f; those that are not assigned stand as spaces.
	windows = "€ ‚ƒ„…†‡ˆ‰Š‹Œ Ž  ‘’“”•–—˜™š›œ žŸ"
	// extended is what the letters from U+0100 to U+017F are without their marks.
	extended = "AaAaAaCcCcCcCcDdDdEeEeEeEeEeGgGgGgGgHhHhIiIiIiIiIiJjJjKkkLlLlLlLlLlNnNnNnnNnOoOoOoOoRrRrRrSsSsSsSsTtTtTtUuUuUuUuUuUuWwYyYZzZzZzs"
	cyrillic = "A B V G D E Zh Z I Y K L M N O P R S T U F Kh Ts Ch Sh Shch ' Y ' E Yu Ya" // from U+0410, small letters after them
	greek    = "A V G D E Z I Th I K L M N X O P R S S T Y F Ch Ps O"                      // from U+0391, small letters 32 further
)

// latin gives a text the bytes that the fonts understand: letters of other Latin alphabets lose their marks, Cyrillic and Greek ones
// are spelled in Latin, and what is left becomes a question mark. Ids stand beside names, so that nobody becomes unknown by it.
func latin(text string) string {
	var b strings.Builder
	for _, char := range relatives().Replace(text) {
		b.WriteString(spelled(char))
	}
	return b.String()
}

// relatives are the letters of these alphabets that do not stand in their row.
func relatives() *strings.Replacer {
	return strings.NewReplacer("ё", "yo", "Ё", "Yo", "є", "ie", "Є", "Ye", "і", "i", "І", "I", "ї", "i", "Ї", "Yi", "ґ", "g", "Ґ", "G",
		"ά", "α", "έ", "ε", "ή", "η", "ί", "ι", "ό", "ο", "ύ", "υ", "ώ", "ω", "Ά", "Α", "Έ", "Ε", "Ή", "Η", "Ί", "Ι", "Ό", "Ο", "Ύ", "Υ", "Ώ", "Ω")
}

func spelled(char rune) string {
	switch {
	case char < ' ' || char == 0x7f || char >= 0x80 && char < 0xa0:
		return " "
	case char == '{':
		return "(" // pageTotal has the only ones
	case char == '}':
		return ")"
	case char <= '~':
		return string(char)
	case char < 0x100:
		return string([]byte{byte(char)})
	}
	place := 0
	for _, known := range windows {
		if known == char {
			return string([]byte{byte(0x80 + place)})
		}
		place++
	}
	switch {
	case char <= 0x17f:
		return extended[char-0x100 : char-0x100+1]
	case char >= 0x410 && char < 0x450:
		return letter(strings.Fields(cyrillic)[(char-0x410)%32], char >= 0x430)
	case char >= 0x391 && char <= 0x3a9 || char >= 0x3b1 && char <= 0x3c9:
		return letter(strings.Fields(greek)[(char-0x391)%32], char >= 0x3b1)
	case char >= 0x300 && char < 0x370:
		return "" // a mark over the letter before
	case char == 0x202f || char >= 0x2000 && char <= 0x200a:
		return " "
	}
	return "?"
}

func letter(spelling string, small bool) string {
	if small {
		return strings.ToLower(spelling)
	}
	return spelling
}
