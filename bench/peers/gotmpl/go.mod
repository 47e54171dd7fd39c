module piton-bench/gotmpl

go 1.22
