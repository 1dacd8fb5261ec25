package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// A short run from end to end. The numbers are printed and nobody looks at them.
func TestCompare(t *testing.T) {
	databases := "sqlite"
	if os.Getenv("TEST_POSTGRES_URL") != "" {
		databases += ",postgres"
	}
	profiles := t.TempDir()
	var out bytes.Buffer
	err := run(t.Context(), []string{
		"-databases", databases, "-pin=false", "-workers", "8", "-slices", "1", "-slice", "100ms", "-rate", "100",
		"-rows", "20", "-many", "40", "-strict", "-profile", profiles,
	}, &out)
	t.Log(out.String())
	if err != nil {
		t.Fatal(err)
	}
	for kind := range strings.SplitSeq(databases, ",") {
		for _, want := range []string{kind + ", 20 connections", kind + ", strict read audit", kind + ", 40 connections"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("nothing of %q", want)
			}
		}
		if _, err := os.Stat(profiles + "/" + kind + ".pprof"); err != nil {
			t.Error(err)
		}
	}
}

func TestArguments(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"-databases", "mysql"},
		{"-databases", "postgres", "-postgres", ""},
		{"-databases", "sqlite", "-workers", "0"},
		{"-databases", "sqlite", "-slices", "0"},
		{"-databases", "sqlite", "-rows", "0"},
		{"-databases", "sqlite", "-rate", "-1"},
	} {
		if b, err := readBench(args); err == nil {
			t.Errorf("%v: %+v", args, b)
		}
	}
}

func TestMedians(t *testing.T) {
	t.Parallel()
	p := pair{
		a: []slice{{perSecond: 10}, {perSecond: 1}, {perSecond: 30}},
		b: []slice{{perSecond: 20}, {perSecond: 2}, {perSecond: 30}}, // the second while something else ran
	}
	a, b, ratio := p.medians(func(s slice) float64 { return s.perSecond })
	if a != 10 || b != 20 || ratio != 0.5 {
		t.Errorf("%v, %v, %v", a, b, ratio)
	}
	if m := median([]float64{1, 2, 4, 3}); m != 2.5 {
		t.Errorf("median of four: %v", m)
	}
}
