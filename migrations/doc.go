// Package migrations holds the schema, one folder for each database.
//
// Files are named NNNNNN_name.up.sql and NNNNNN_name.down.sql and come in the
// same numbers in both folders. A file that was released is never edited: a
// change is a new file, and one that the previous release can live with,
// because it keeps serving while the new one starts.
//
// Each file runs as one transaction, so a failed one leaves nothing behind but
// a mark that it was tried. Package store runs them and clears such marks.
package migrations
