import ast,pathlib,sys
root=pathlib.Path('src')
defs={}
def names(m):
    if m in defs: return defs[m]
    p=root/m.replace('.','/'); f=p/'__init__.py' if p.is_dir() else p.with_suffix('.py')
    if not f.exists(): return None
    t=ast.parse(f.read_text()); s=set()
    for n in ast.walk(t):
        if isinstance(n,(ast.FunctionDef,ast.ClassDef,ast.AsyncFunctionDef)): s.add(n.name)
        elif isinstance(n,(ast.Import,ast.ImportFrom)): s|={(a.asname or a.name).split('.')[0] for a in n.names}
        elif isinstance(n,ast.Name) and isinstance(n.ctx,ast.Store): s.add(n.id)
        elif isinstance(n,ast.TypeAlias) if hasattr(ast,'TypeAlias') else False: s.add(n.name.id)
    if p.is_dir(): s|={x.stem for x in p.iterdir()}
    defs[m]=s; return s
for d in ('src','tests','examples'):
    for f in pathlib.Path(d).rglob('*.py'):
        for n in ast.walk(ast.parse(f.read_text())):
            if isinstance(n,ast.ImportFrom) and n.module and n.module.split('.')[0]=='dreamx':
                s=names(n.module)
                if s is None: print(f,n.lineno,'no module',n.module); continue
                for a in n.names:
                    if a.name not in s and a.name!='*': print(f,n.lineno,n.module,a.name)
            elif isinstance(n,ast.Import):
                for a in n.names:
                    if a.name.split('.')[0]=='dreamx' and names(a.name) is None: print(f,n.lineno,a.name)
