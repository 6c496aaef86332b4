import ast,sys
from pathlib import Path
root=Path(sys.argv[1])
for p in sorted(root.rglob("*.py")):
    t=ast.parse(p.read_text()); out=[]
    for n in t.body:
        if isinstance(n,ast.ClassDef):
            ms=[m.name for m in n.body if isinstance(m,(ast.FunctionDef,ast.AsyncFunctionDef)) and not m.name.startswith("_")]
            fs=[m.target.id for m in n.body if isinstance(m,ast.AnnAssign) and isinstance(m.target,ast.Name)]
            out.append(f"{n.name}[{' '.join(fs)}|{' '.join(ms)}]")
        elif isinstance(n,(ast.FunctionDef,ast.AsyncFunctionDef)):
            a=",".join(x.arg for x in n.args.args); out.append(f"{n.name}({a})" if not n.name.startswith("_") else n.name)
    print(p.relative_to(root),":"," ".join(out))
