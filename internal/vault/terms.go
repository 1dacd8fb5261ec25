package vault

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxTerm bounds a word that is kept for searches, in bytes; maxWords bounds
// those of a search.
const (
	maxTerm  = 128
	maxWords = 8
)

// Terms are the words of a connection that a search finds by their beginnings,
// folded and each of them once: of the external id, the end user's id, email and
// name, and of the account's label. What comes after the @ of an address is a word
// too.
func (c *Connection) Terms() []string {
	var terms []string
	for _, text := range []string{c.ExternalID, c.EndUser.ID, c.EndUser.Email, c.EndUser.Name, c.Account.Label} {
		for word := range strings.FieldsSeq(text) {
			terms = append(terms, term(word))
			if _, domain, ok := strings.Cut(word, "@"); ok && domain != "" {
				terms = append(terms, term(domain))
			}
		}
	}
	slices.Sort(terms)
	return slices.Compact(terms)
}

// fold is a text in lower case and in Unicode's form NFC, so that a letter is the
// same with its accent in one character or in two. NFKC would find more, "ﬁ" by "fi":
// but what a search finds can be revoked by it, and has to be what was written.
//
// It is composed first, as some letters are lower-cased only then as they should
// be ("İ"), and once more after that: some compose only in lower case ("ǰ").
func fold(word string) string { return norm.NFC.String(strings.ToLower(norm.NFC.String(word))) }

// term is a word as it is kept and looked for.
func term(word string) string {
	word = fold(word)
	if len(word) <= maxTerm {
		return word
	}
	cut := maxTerm
	for !utf8.RuneStart(word[cut]) {
		cut--
	}
	return word[:cut]
}

// words are what a search looks for: the beginnings of words, all of which have
// to be there.
func words(query string) []string {
	var found []string
	for word := range strings.FieldsSeq(query) {
		if found = append(found, term(word)); len(found) == maxWords {
			break
		}
	}
	return found
}

// wholeQuery reports whether all of the query is looked for, and no word of it is
// left out or cut short.
func (f ConnectionFilter) wholeQuery() bool {
	asked := strings.Fields(f.Query)
	return len(asked) <= maxWords && !slices.ContainsFunc(asked, func(word string) bool { return len(fold(word)) > maxTerm })
}

// tagged takes what a search says of tags, as in "tag:team=blue", over to where
// filters have it.
func (f ConnectionFilter) tagged() ConnectionFilter {
	var rest []string
	tags := FoldTags(f.Tags)
	if len(tags) < len(f.Tags) {
		tags = maps.Clone(f.Tags) // one of them is not in NFC: nothing has it
	}
	for word := range strings.FieldsSeq(f.Query) {
		tag, ok := strings.CutPrefix(word, "tag:")
		key, value, assigned := strings.Cut(tag, "=")
		key, value = norm.NFC.String(key), norm.NFC.String(value)
		before, there := tags[key]
		if !ok || !assigned || key == "" || there && before != value { // two values at once: nothing has them
			rest = append(rest, word)
			continue
		}
		tags[key] = value
	}
	f.Query, f.Tags = strings.Join(rest, " "), tags
	return f
}

// FoldTags are tags as filters look for them: in NFC, and in the case that they
// were given in. Of two keys that are one in this form, one is left.
func FoldTags(tags map[string]string) map[string]string {
	folded := make(map[string]string, len(tags))
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		folded[norm.NFC.String(key)] = norm.NFC.String(tags[key])
	}
	return folded
}
