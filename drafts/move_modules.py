"""moves.py ROOT MAP.json: move modules of dreamx and rewrite every import and use. MAP: {"dreamx.eval.laws": "dreamx.eval.suites.paths"}"""
import json, re, subprocess, sys
from pathlib import Path
import libcst as cst
from libcst.metadata import MetadataWrapper, ScopeProvider, GlobalScope
from libcst import helpers

root=Path(sys.argv[1]); moves=json.load(open(sys.argv[2]))
src=root/"src"
def path_of(m):
    p=src.joinpath(*m.split("."))
    return p if p.is_dir() else p.with_suffix(".py")
# expand packages
full={}
for a,b in moves.items():
    p=path_of(a)
    if p.is_dir():
        full[a]=b
        for f in p.rglob("*.py"):
            rel=f.relative_to(p).with_suffix("").parts
            if rel[-1]=="__init__": rel=rel[:-1]
            if rel: full[".".join((a,*rel))]=".".join((b,*rel))
    else:
        assert p.is_file(),p
        full[a]=b
def renamed(m):
    """new dotted name of module or module.attr..."""
    parts=m.split(".")
    for n in range(len(parts),0,-1):
        k=".".join(parts[:n])
        if k in full: return ".".join([full[k],*parts[n:]])
    return m
def attr(d):
    e=cst.Name(d.split(".")[0])
    for p in d.split(".")[1:]: e=cst.Attribute(e,cst.Name(p))
    return e
problems=[]
class Rewrite(cst.CSTTransformer):
    METADATA_DEPENDENCIES=(ScopeProvider,)
    def __init__(self,file): self.file=file; self.rename={}
    def visit_Module(self,node):
        scopes={s for s in self.get_scopes(node)}
        return True
    def get_scopes(self,node):
        return set(filter(None,self.context.metadata.get(ScopeProvider,{}).values())) if False else set()
def run(file):
    text=file.read_text()
    if "dreamx" not in text: return
    wrapper=MetadataWrapper(cst.parse_module(text),unsafe_skip_copy=False)
    scopes=set(wrapper.resolve(ScopeProvider).values())
    node_rename={}   # Name node -> new string
    for sc in filter(None,scopes):
        for asg in sc.assignments:
            n=getattr(asg,"node",None)
            if isinstance(n,cst.ImportFrom) and n.module is not None:
                mod=helpers.get_full_name_for_node(n.module)
                if isinstance(n.names,cst.ImportStar): continue
                for al in n.names:
                    nm=al.name.value
                    local=al.asname.name.value if al.asname else nm
                    if local!=asg.name: continue
                    old=f"{mod}.{nm}"
                    if old in full and not al.asname:
                        new=full[old].split(".")[-1]
                        if new!=nm:
                            # collision?
                            taken=any(new in s2 and any(a.name==new for a in s2.assignments) for s2 in filter(None,scopes))
                            if taken: problems.append(f"{file}: {new} is taken (was {nm})")
                            for acc in asg.references: node_rename[acc.node]=new
    class T(cst.CSTTransformer):
        def leave_Name(self,o,u):
            return u.with_changes(value=node_rename[o]) if o in node_rename else u
        def leave_SimpleStatementLine(self,o,u):
            out=[]; changed=False
            extra=[]
            for st in u.body:
                if isinstance(st,cst.ImportFrom) and st.module is not None and not isinstance(st.names,cst.ImportStar):
                    mod=helpers.get_full_name_for_node(st.module)
                    if mod.split(".")[0]!="dreamx": out.append(st); continue
                    groups={}
                    for al in st.names:
                        nm=al.name.value; old=f"{mod}.{nm}"
                        if old in full:
                            newmod,_,newname=full[old].rpartition(".")
                        else:
                            newmod,newname=renamed(mod),nm
                        groups.setdefault(newmod,[]).append((newname,al.asname))
                    if set(groups)=={mod} and [x for x,_ in groups[mod]]==[a.name.value for a in st.names]:
                        out.append(st); continue
                    changed=True
                    parts=[]
                    for m,names in groups.items():
                        parts.append(cst.ImportFrom(module=attr(m),names=[cst.ImportAlias(cst.Name(x),asname=a) for x,a in names]))
                    extra+=parts[1:]; out.append(parts[0])
                elif isinstance(st,cst.Import):
                    als=[]
                    for al in st.names:
                        d=helpers.get_full_name_for_node(al.name)
                        r=renamed(d)
                        if r!=d: changed=True; als.append(al.with_changes(name=attr(r)))
                        else: als.append(al)
                    out.append(st.with_changes(names=als))
                else: out.append(st)
            if not changed: return u
            first=u.with_changes(body=out)
            if not extra: return first
            return cst.FlattenSentinel([first,*[cst.SimpleStatementLine([e]) for e in extra]])
        def leave_Attribute(self,o,u):
            d=helpers.get_full_name_for_node(o)
            if d and d.startswith("dreamx."):
                r=renamed(d)
                if r!=d: return attr(r)
            return u
    new=wrapper.visit(T()).code if hasattr(wrapper,'visit') else None
    if new!=text: file.write_text(new)
files=[p for d in ("src","tests","examples") for p in (root/d).rglob("*.py")]
for f in files: run(f)
# strings and docs: dotted, paths, and ``pkg.module`` without the package
def textual(s):
    for a,b in sorted(full.items(),key=lambda x:-len(x[0])):
        s=re.sub(rf"(?<![\w.]){re.escape(a)}(?![\w])",b,s)
        pa,pb=a.replace(".","/"),b.replace(".","/")
        s=re.sub(rf"(?<![\w]){re.escape(pa)}\.py",pb+".py",s)
        sa,sb=a.removeprefix("dreamx."),b.removeprefix("dreamx.")
        if "." in sa:
            s=re.sub(rf"(`+){re.escape(sa)}(?=[`.])",lambda m:m.group(1)+sb,s)
            qa,qb=sa.replace(".","/"),sb.replace(".","/")
            s=re.sub(rf"(`+|[ (]){re.escape(qa)}(?=`|\.py|[ ),.;:])",lambda m:m.group(1)+qb,s)
    return s
for f in [*files,*[p for p in (*root.glob("*.md"),*(root/"docs").rglob("*.md"),*(root/"src").rglob("*.md"),*(root/"src").rglob("*.js"),*(root/"src").rglob("*.html"),root/"pyproject.toml",root/"Makefile",*(root/".ci").iterdir()) if p.is_file()]]:
    if f.name=="LOG.md": continue
    s=f.read_text(errors="surrogateescape"); n=textual(s)
    if n!=s: f.write_text(n,errors="surrogateescape")
for a,b in moves.items():
    pa=path_of(a)
    pb=src.joinpath(*b.split(".")); pb=pb if pa.is_dir() else pb.with_suffix(".py")
    pb.parent.mkdir(parents=True,exist_ok=True)
    init=pb.parent/"__init__.py"
    if not init.exists(): init.write_text(""); subprocess.run(["git","-C",str(root),"add",str(init)],check=True)
    subprocess.run(["git","-C",str(root),"mv",str(pa),str(pb)],check=True)
print("\n".join(problems)); print(len(full),"modules")
