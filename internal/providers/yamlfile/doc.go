// Package yamlfile reads YAML files that people write for the broker: provider
// files, and declarations of what is to be set up. It is strict, reports all
// that is wrong at once with lines and paths, and names what was probably meant.
//
// It owns form. Whether a file makes sense is for whoever reads it, who adds
// faults of their own by [File.Fault].
package yamlfile
