# job: other
# A job of another project: the relay lists nothing, and refuses a kubeconfig that was made by hand
refused adit kubeconfig --output mine
says 'may use no agent'
refused kubectl get pods
says '(Forbidden): adit: '
