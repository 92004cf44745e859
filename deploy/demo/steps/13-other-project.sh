# job: other
# A job of another project: the relay lists nothing, and refuses a kubeconfig that was made by hand
refused adit kubeconfig --output mine
grep --quiet 'may use no agent' said
refused kubectl get pods
grep --quiet '(Forbidden): adit: jobs of this project may not use' said
