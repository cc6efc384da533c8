"""Native code: typed graphs come in, LLVM IR and objects go out. The only package that imports llvmlite."""
