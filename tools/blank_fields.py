import ast,sys
from pathlib import Path
tot=blank=0
for p in sorted(Path('src/dreamx').rglob('*.py')):
    t=ast.parse(p.read_text())
    for n in ast.walk(t):
        if isinstance(n,ast.ClassDef) and (n.name.endswith(('Config','Stage')) or n.name in ('Curriculum','Sampler','Limits','Wanted','Into','How','Endpoint','Local','Asked','Speed','Coding')) and any('dataclass' in ast.unparse(d) for d in n.decorator_list):
            miss=[]
            for i,m in enumerate(n.body):
                if isinstance(m,ast.AnnAssign) and isinstance(m.target,ast.Name):
                    tot+=1
                    nxt=n.body[i+1] if i+1<len(n.body) else None
                    if not(isinstance(nxt,ast.Expr) and isinstance(nxt.value,ast.Constant) and isinstance(nxt.value.value,str)): miss.append(m.target.id); blank+=1
            if miss: print(str(p)[11:],n.name,' '.join(miss))
print(blank,'of',tot)
