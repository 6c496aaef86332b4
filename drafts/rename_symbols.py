"""lsp.py ROOT SPEC.json: rename symbols with pyright. SPEC: [["src/dreamx/x.py","Class.method","new"], ...]"""
import ast, json, subprocess, sys, os, threading, queue, re
from pathlib import Path
root=Path(sys.argv[1]).resolve(); spec=json.load(open(sys.argv[2]))
p=subprocess.Popen([str(root/".venv/bin/pyright-langserver"),"--stdio"],stdin=subprocess.PIPE,stdout=subprocess.PIPE,stderr=subprocess.DEVNULL,cwd=root)
q=queue.Queue(); nid=[0]
def send(m):
    d=json.dumps(m).encode(); p.stdin.write(b"Content-Length: %d\r\n\r\n"%len(d)+d); p.stdin.flush()
def reader():
    while True:
        n=None
        while True:
            l=p.stdout.readline()
            if not l: return
            if l==b"\r\n": break
            k,_,v=l.decode().partition(":")
            if k.lower()=="content-length": n=int(v)
        m=json.loads(p.stdout.read(n))
        if "id" in m and "method" in m:   # server request
            r=None
            if m["method"]=="workspace/configuration": r=[{} for _ in m["params"]["items"]]
            send({"jsonrpc":"2.0","id":m["id"],"result":r})
        elif "id" in m: q.put(m)
threading.Thread(target=reader,daemon=True).start()
def call(method,params,timeout=600):
    nid[0]+=1; i=nid[0]; send({"jsonrpc":"2.0","id":i,"method":method,"params":params})
    while True:
        m=q.get(timeout=timeout)
        if m["id"]==i:
            if "error" in m: raise RuntimeError(m["error"])
            return m.get("result")
def note(method,params): send({"jsonrpc":"2.0","method":method,"params":params})
call("initialize",{"processId":os.getpid(),"rootUri":root.as_uri(),"workspaceFolders":[{"uri":root.as_uri(),"name":"r"}],"capabilities":{"workspace":{"configuration":True,"workspaceEdit":{"documentChanges":True}},"textDocument":{"rename":{"prepareSupport":True}}}})
note("initialized",{})
version={}
import time
time.sleep(3)
def open_(f):
    u=f.as_uri()
    if u not in version:
        version[u]=1
        note("textDocument/didOpen",{"textDocument":{"uri":u,"languageId":"python","version":1,"text":f.read_text()}})
    return u
def locate(f,symbol):
    t=f.read_text(); tree=ast.parse(t); body=tree.body; parts=symbol.split("."); node=None
    lines=t.split("\n")
    def find(n,name,scope):
        for x in scope:
            if isinstance(x,(ast.ClassDef,ast.FunctionDef,ast.AsyncFunctionDef)) and x.name==name:
                ln=x.lineno-1
                while not re.match(rf"\s*(async\s+)?(def|class)\s+{name}\b",lines[ln]): ln+=1
                return x,(ln,lines[ln].index(name, lines[ln].index("def " if not isinstance(x,ast.ClassDef) else "class ")+4))
            if isinstance(x,ast.AnnAssign) and isinstance(x.target,ast.Name) and x.target.id==name: return x,(x.target.lineno-1,x.target.col_offset)
            if isinstance(x,ast.Assign):
                for tg in x.targets:
                    for y in ast.walk(tg):
                        if isinstance(y,ast.Name) and y.id==name: return x,(y.lineno-1,y.col_offset)
            for sub in ("body","orelse","finalbody"):
                if isinstance(x,(ast.If,ast.Try,ast.With)) and getattr(x,sub,None):
                    r=find(n,name,getattr(x,sub))
                    if r: return r
        return None
    pos=None
    for k,name in enumerate(parts):
        r=find(node,name,body)
        if r is None and k==len(parts)-1 and node is not None:
            # self.attr or parameter
            for y in ast.walk(node):
                if isinstance(y,ast.arg) and y.arg==name: return (y.lineno-1,y.col_offset)
            for y in ast.walk(node):
                if isinstance(y,ast.Attribute) and y.attr==name and isinstance(y.value,ast.Name) and y.value.id=="self":
                    return (y.end_lineno-1,y.end_col_offset-len(name))
            for y in ast.walk(node):
                if isinstance(y,ast.Name) and y.id==name: return (y.lineno-1,y.col_offset)
        if r is None: raise SystemExit(f"no {symbol} in {f}")
        node,pos=r; body=getattr(node,"body",[])
    return pos
def apply(edit):
    n=0
    changes={}
    for d in edit.get("documentChanges") or []:
        if "edits" in d: changes.setdefault(d["textDocument"]["uri"],[]).extend(d["edits"])
    for u,e in (edit.get("changes") or {}).items(): changes.setdefault(u,[]).extend(e)
    from urllib.parse import unquote,urlparse
    for u,edits in changes.items():
        f=Path(unquote(urlparse(u).path)); t=f.read_text(); ls=t.split("\n")
        seen=set()
        for e in sorted(edits,key=lambda e:(e["range"]["start"]["line"],e["range"]["start"]["character"]),reverse=True):
            s,en=e["range"]["start"],e["range"]["end"]; k=(s["line"],s["character"])
            if k in seen: continue
            seen.add(k); assert s["line"]==en["line"]
            l=ls[s["line"]]; ls[s["line"]]=l[:s["character"]]+e["newText"]+l[en["character"]:]; n+=1
        t="\n".join(ls); f.write_text(t)
        if u in version:
            version[u]+=1; note("textDocument/didChange",{"textDocument":{"uri":u,"version":version[u]},"contentChanges":[{"text":t}]})
        else:
            note("workspace/didChangeWatchedFiles",{"changes":[{"uri":u,"type":2}]})
    return n
# warm up: until a popular symbol has its references
_f=root/"src/dreamx/geometry/camera.py"; _l,_c=locate(_f,"Camera"); _u=open_(_f); _n=-1
while True:
    r=call("textDocument/references",{"textDocument":{"uri":_u},"position":{"line":_l,"character":_c},"context":{"includeDeclaration":True}}) or []
    if len(r)==_n and _n>300: break
    _n=len(r); time.sleep(2)
print("warm",_n,flush=True)
for file,symbol,new in spec:
    f=root/file
    try:
        line,col=locate(f,symbol)
        u=open_(f)
        r=call("textDocument/rename",{"textDocument":{"uri":u},"position":{"line":line,"character":col},"newName":new})
        print(file,symbol,"->",new,apply(r) if r else "NOTHING",flush=True)
    except (RuntimeError,SystemExit,queue.Empty) as e: print("FAILED",file,symbol,new,repr(e)[:200],flush=True)
p.kill()
